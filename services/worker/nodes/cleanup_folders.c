/* What system.cleanup does on the disk. */
#include "services/worker/nodes/cleanup.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/storage/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ORPHANS_MAX = 100000, ORPHANS_FEW = 10 };

bool cleanup_has_folder(const struct cleanup *self, const char *id)
{
    char path[PATH_MAX];
    struct stat info;
    return snprintf(path, sizeof path, "%s/%s", self->root, id) >= PATH_MAX ||
           lstat(path, &info) == 0 || errno != ENOENT;
}

/* ---- what a known task left -------------------------------------------------------------------
 */

/* Only of a task that does not live: a stage that runs may write nothing for long. One that is
 * submitted meanwhile has a folder that is young. */
static void sweep(struct cleanup *self, const char *id)
{
    struct cleanup_step *step = &self->temporary;
    uint64_t count = 0;
    scoped_fd int folder =
        openat(self->batch.root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return;
    int r = self->dry_run ? storage_sweep_look(folder, self->tmp_ms, &count)
                          : storage_sweep(folder, self->tmp_ms, &count);
    if (r == 0 && count == 0)
        return;
    cleanup_found(step, id);
    step->found += count ? count - 1 : 0;
    if (r)
        cleanup_failed(step, strerror(-r));
    else if (!self->dry_run)
        step->removed += count;
}

static int take_known(struct cleanup *self, const struct m_task_item *item)
{
    char id[TASK_ID_MAX + 1];
    if (!slice_copy(item->id, id, sizeof id))
        return 0;
    for (size_t i = 0; i < self->batch.count; i++)
        if (strcmp(self->batch.ids[i], id) == 0)
            self->batch.known[i] = true;
    if (strcmp(id, self->self) != 0)
        self->known++;
    if (strcmp(id, self->self) != 0 && self->batch.has_tmp)
        self->here++;
    if (!item->living && self->batch.has_tmp)
        sweep(self, id);
    return 0;
}

int cleanup_add_orphan(struct cleanup_orphans *self, const char *id)
{
    if (self->count == ORPHANS_MAX)
        return 0; /* the next pass sees to them */
    if (self->count == self->room) {
        const size_t room = self->room ? 2 * self->room : CLEANUP_BATCH;
        void *ids = realloc(self->ids, room * sizeof *self->ids);
        if (!ids)
            return -ENOMEM;
        self->ids = ids;
        self->room = room;
    }
    memcpy(self->ids[self->count++], id, sizeof *self->ids);
    return 0;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

void cleanup_each_once(struct cleanup_orphans *self)
{
    size_t kept = 0;
    if (self->count)
        qsort(self->ids, self->count, sizeof *self->ids, by_id);
    for (size_t i = 0; i < self->count; i++)
        if (!kept || strcmp(self->ids[kept - 1], self->ids[i]) != 0)
            memmove(self->ids[kept++], self->ids[i], sizeof *self->ids);
    self->count = kept;
}

static int look_up(struct cleanup *self)
{
    memset(self->batch.known, 0, sizeof self->batch.known);
    int r = cleanup_look_up(self, (const char(*)[TASK_ID_MAX + 1]) self->batch.ids,
                            self->batch.count, take_known);
    for (size_t i = 0; i < self->batch.count && r == 0; i++)
        if (!self->batch.known[i])
            r = cleanup_add_orphan(&self->orphans, self->batch.ids[i]);
    self->batch.count = 0;
    return r;
}

/* ---- walking -----------------------------------------------------------------------------------
 */

static bool is_folder(int root, const char *name)
{
    struct stat info;
    return fstatat(root, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

/* Names that begin with a dot are the system's own, or a person's. */
static int take_entry(struct cleanup *self, const char *name)
{
    if (*name == '.')
        return 0;
    char *id = self->batch.ids[self->batch.count];
    if (!task_id_valid(slice_of(name)) || !is_folder(self->batch.root, name) ||
        !slice_copy(slice_of(name), id, sizeof self->batch.ids[0])) {
        cleanup_found(&self->strangers, name);
        self->strangers.kept++;
        return 0;
    }
    return ++self->batch.count == CLEANUP_BATCH ? look_up(self) : 0;
}

static int walk(struct cleanup *self, const char *root, bool has_tmp)
{
    DIR *top = opendir(root);
    int r = 0;
    if (!top)
        return errno == ENOENT ? 0 : -errno;
    self->batch.count = 0;
    self->batch.root = dirfd(top);
    self->batch.has_tmp = has_tmp;
    for (const struct dirent *entry = readdir(top); entry && r == 0; entry = readdir(top))
        r = take_entry(self, entry->d_name);
    if (r == 0)
        r = look_up(self);
    closedir(top);
    return r;
}

int cleanup_folders(struct cleanup *self)
{
    int r = walk(self, self->root, true);
    return r ? r : walk(self, self->videos, false);
}

/* ---- folders without a record ------------------------------------------------------------------
 */

/* What is in either folder of this name. */
static int64_t changed_ms(const struct cleanup *self, const char *id)
{
    const char *const roots[] = { self->root, self->videos };
    int64_t latest_ms = 0;
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        char path[PATH_MAX];
        int64_t ms = 0;
        (void)snprintf(path, sizeof path, "%s/%s", roots[i], id);
        scoped_fd int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0 ? errno != ENOENT : storage_changed(folder, &ms) != 0)
            return INT64_MAX; /* what cannot be looked at is young */
        latest_ms = ms > latest_ms ? ms : latest_ms;
    }
    return latest_ms;
}

/* What came from elsewhere (gantry migrate) never had a record, and is kept as long as a task that
 * was created when it came. */
static bool is_kept_migrated(const struct cleanup *self, const char *id)
{
    char path[PATH_MAX];
    struct stat info;
    if (snprintf(path, sizeof path, "%s/" STORAGE_MIGRATED "/%s.jsonl", self->root, id) >= PATH_MAX)
        return true;
    if (lstat(path, &info))
        return errno != ENOENT; /* what cannot be looked at is young */
    const int64_t came_ms = (int64_t)info.st_mtim.tv_sec * 1000;
    return self->retention_ms == 0 || came_ms > clock_wall_ms() - self->retention_ms;
}

/* FORGET with 1 is refused when there is any record by now: a task of this id that was submitted
 * since we looked keeps its folder. Clocks play no part in that. */
static int take_orphan(struct cleanup *self, const char *id)
{
    struct cleanup_step *step = &self->orphan_folders;
    const int64_t changed = changed_ms(self, id);
    if (changed <= clock_wall_ms() - self->grace_ms && !is_kept_migrated(self, id))
        return cleanup_forget(self, step, slice_of(id), 1);
    cleanup_found(step, id);
    step->kept++;
    return 0;
}

/* Most folders have no record: that is no rubbish but a Redis that lost its data, or another one.
 */
static bool too_many(const struct cleanup *self)
{
    return !self->many && self->orphans.count > ORPHANS_FEW && self->orphans.count > self->known;
}

int cleanup_orphans(struct cleanup *self)
{
    struct cleanup_step *step = &self->orphan_folders;
    cleanup_each_once(&self->orphans);
    const bool leave = too_many(self);
    int r = 0;
    for (size_t i = 0; i < self->orphans.count && r == 0; i++) {
        if (!leave) {
            r = take_orphan(self, self->orphans.ids[i]);
            engine_progress(self->engine, 0.5 + 0.3 * (double)i / (double)self->orphans.count);
            continue;
        }
        cleanup_found(step, self->orphans.ids[i]);
        step->kept++;
    }
    if (leave)
        (void)snprintf(step->why, sizeof step->why,
                       "%zu folders without a record, and %llu with one: is it the right Redis? "
                       "All were left; many=true removes them",
                       self->orphans.count, (unsigned long long)self->known);
    return r;
}

/* ---- the trash ---------------------------------------------------------------------------------
 */

static void empty(struct cleanup *self, const char *root)
{
    struct cleanup_step *step = &self->trash;
    uint64_t count = 0;
    int r = self->dry_run ? storage_trash_look(root, self->tmp_ms, &count)
                          : storage_empty_trash(root, self->tmp_ms, &count);
    if (r && r != -ENOENT) {
        step->found++;
        cleanup_failed(step, strerror(-r));
        return;
    }
    step->found += count;
    step->removed += self->dry_run ? 0 : count;
}

int cleanup_trash(struct cleanup *self)
{
    empty(self, self->root);
    empty(self, self->videos);
    return 0;
}
