#include "services/state/usage.h"

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_ROOM = 64 };

const char *usage_text(uint64_t bytes, char text[USAGE_TEXT])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, USAGE_TEXT, "%.*f %s", unit && value < 100 ? 1 : 0, value, units[unit]);
    return text;
}

void usage_clear(struct usage *self)
{
    for (size_t i = 0; i < self->tasks_count; i++) {
        free(self->tasks[i].id);
        free(self->tasks[i].owner);
    }
    free(self->tasks);
    free(self->users);
    *self = (struct usage){ 0 };
}

/* ---- measuring --------------------------------------------------------------------------------
 */

static int add_task(struct usage *self, const char *name, const struct storage_usage *found)
{
    if (self->tasks_count == self->tasks_room) {
        const size_t room = self->tasks_room ? 2 * self->tasks_room : FIRST_ROOM;
        struct usage_task *tasks = realloc(self->tasks, room * sizeof *tasks);
        if (!tasks)
            return -ENOMEM;
        self->tasks = tasks;
        self->tasks_room = room;
    }
    struct usage_task *task = &self->tasks[self->tasks_count];
    *task = (struct usage_task){ .bytes = found->bytes, .files = found->files };
    task->id = slice_dup(slice_of(name));
    if (!task->id)
        return -ENOMEM;
    self->tasks_count++;
    self->bytes += found->bytes;
    self->files += found->files;
    return 0;
}

/* What vanishes meanwhile is nobody's any more; what may not be read counts as empty. */
static int measure_entry(struct usage *self, int root, const char *name)
{
    const bool trash = strcmp(name, STORAGE_TRASH) == 0;
    struct storage_usage found = { 0 };
    if (!trash && !task_id_valid(slice_of(name)))
        return 0;
    scoped_fd int folder = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return 0;
    if (storage_usage(folder, &found) || !trash)
        return trash ? 0 : add_task(self, name, &found);
    self->trash_bytes += found.bytes;
    return 0;
}

static bool over(struct usage *self, const struct usage_bounds *bounds, int64_t begin_ms)
{
    if (self->files + self->tasks_count > bounds->files_max ||
        clock_ms() - begin_ms > bounds->ms_max)
        self->partial = true;
    return self->partial;
}

static int measure_root(struct usage *self, const char *path, const struct usage_bounds *bounds,
                        int64_t begin_ms)
{
    DIR *top = opendir(path);
    int r = 0;
    if (!top)
        return errno == ENOENT ? 0 : -errno;
    for (const struct dirent *entry = readdir(top);
         entry && r == 0 && !over(self, bounds, begin_ms); entry = readdir(top))
        r = measure_entry(self, dirfd(top), entry->d_name);
    closedir(top);
    return r;
}

static int by_id(const void *a, const void *b)
{
    const struct usage_task *x = a, *y = b;
    return strcmp(x->id, y->id);
}

/* A created task has a folder in both roots. */
static void merge(struct usage *self)
{
    size_t kept = 0;
    if (self->tasks_count)
        qsort(self->tasks, self->tasks_count, sizeof *self->tasks, by_id);
    for (size_t i = 0; i < self->tasks_count; i++) {
        struct usage_task *last = kept ? &self->tasks[kept - 1] : NULL;
        if (!last || strcmp(last->id, self->tasks[i].id) != 0) {
            self->tasks[kept++] = self->tasks[i];
            continue;
        }
        last->bytes += self->tasks[i].bytes;
        last->files += self->tasks[i].files;
        free(self->tasks[i].id);
    }
    self->tasks_count = kept;
}

int usage_measure(const char *root, const char *local, const struct usage_bounds *bounds,
                  struct usage *ret_usage)
{
    char videos[PATH_MAX];
    const int64_t begin_ms = clock_ms();
    *ret_usage = (struct usage){ 0 };
    int r = measure_root(ret_usage, root, bounds, begin_ms);
    if (r == 0 && snprintf(videos, sizeof videos, "%s/videos", local) < PATH_MAX)
        r = measure_root(ret_usage, videos, bounds, begin_ms);
    merge(ret_usage);
    ret_usage->at_ms = clock_ms();
    ret_usage->took_ms = ret_usage->at_ms - begin_ms;
    ret_usage->measured_ms = clock_wall_ms();
    return r;
}

/* ---- whose it is ------------------------------------------------------------------------------
 */

int usage_own(struct usage *self, struct slice id, struct slice owner)
{
    char name[TASK_ID_MAX + 1];
    if (owner.size == 0 || !slice_copy(id, name, sizeof name) || self->tasks_count == 0)
        return 0;
    const struct usage_task wanted = { .id = name };
    struct usage_task *task =
        bsearch(&wanted, self->tasks, self->tasks_count, sizeof *self->tasks, by_id);
    if (!task || task->owner)
        return 0;
    task->owner = slice_dup(owner);
    return task->owner ? 0 : -ENOMEM;
}

static int by_owner(const void *a, const void *b)
{
    const struct usage_task *x = a, *y = b;
    return strcmp(x->owner ? x->owner : "", y->owner ? y->owner : "");
}

static int by_size(const void *a, const void *b)
{
    const struct usage_task *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return strcmp(x->id, y->id);
}

int usage_settle(struct usage *self)
{
    struct usage_user *user = NULL;
    self->users = calloc(self->tasks_count + 1, sizeof *self->users);
    if (!self->users)
        return -ENOMEM;
    if (self->tasks_count)
        qsort(self->tasks, self->tasks_count, sizeof *self->tasks, by_owner);
    for (size_t i = 0; i < self->tasks_count; i++) {
        const struct usage_task *task = &self->tasks[i];
        if (!task->owner)
            continue;
        if (!user || strcmp(user->owner, task->owner) != 0) {
            user = &self->users[self->users_count++];
            user->owner = task->owner;
        }
        user->bytes += task->bytes;
        user->tasks++;
    }
    if (self->tasks_count)
        qsort(self->tasks, self->tasks_count, sizeof *self->tasks, by_size);
    return 0;
}

uint64_t usage_of_user(const struct usage *self, struct slice owner)
{
    size_t low = 0, high = self->users_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct slice here = slice_of(self->users[middle].owner);
        const size_t size = here.size < owner.size ? here.size : owner.size;
        int order = size ? memcmp(here.data, owner.data, size) : 0;
        if (order == 0 && here.size == owner.size)
            return self->users[middle].bytes;
        if (order < 0 || (order == 0 && here.size < owner.size))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

size_t usage_top_users(const struct usage *self, struct usage_user *ret_users, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->users_count && count; i++) {
        const struct usage_user *user = &self->users[i];
        if (kept == count && user->bytes <= ret_users[kept - 1].bytes)
            continue;
        size_t at = kept < count ? kept++ : kept - 1;
        for (; at > 0 && ret_users[at - 1].bytes < user->bytes; at--)
            ret_users[at] = ret_users[at - 1];
        ret_users[at] = *user;
    }
    return kept;
}
