#include "services/cli/migration.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/storage.h"
#include "services/cli/passage.h"

/* ---- tasks ----------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of a manifest, or of an entry of the root; NULL for what is neither, or when memory ran out. */
static char *id_of(struct migration *self, const char *entry)
{
    struct slice name = slice_of(entry);
    static const struct slice end = SLICE_INIT(".jsonl");
    if (strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0)
        return NULL;
    if (self->row->back && (name.size <= end.size || !slice_is(end, entry + name.size - end.size)))
        return NULL;
    if (self->row->back)
        name.size -= end.size;
    if (task_id_valid(name))
        return slice_dup(name);
    passage_leave(self, entry, "", "no task has such a name");
    return NULL;
}

struct names {
    char **items;
    size_t count, room;
};

static void names_clear(struct names *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
}

static int names_add(struct names *self, char *name)
{
    if (self->count == self->room) {
        const size_t room = self->room ? 2 * self->room : 64;
        char **items = realloc(self->items, room * sizeof *items);
        if (!items) {
            free(name);
            return -ENOMEM;
        }
        self->items = items;
        self->room = room;
    }
    self->items[self->count++] = name;
    return 0;
}

static int list_ids(struct migration *self, int root, struct names *names)
{
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int problem = errno;
        if (fd >= 0)
            (void)close(fd);
        return -problem;
    }
    int r = 0;
    for (const struct dirent *entry = readdir(dir); entry && r == 0; entry = readdir(dir)) {
        char *id = id_of(self, entry->d_name);
        r = id ? names_add(names, id) : 0;
    }
    (void)closedir(dir);
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, by_name);
    return r;
}

static int pass_all(struct migration *self)
{
    __attribute__((cleanup(names_clear))) struct names names = { 0 };
    const int listed = self->row->back ? self->manifests : self->from;
    int r = listed >= 0 ? list_ids(self, listed, &names) : 0;
    for (size_t i = 0; i < names.count && r == 0; i++) {
        self->row->progress(self->row->arg, i, names.count, self->counts.moved_bytes);
        r = passage_run(self, names.items[i]);
    }
    return r;
}

/* ---- roots
 * ---------------------------------------------------------------------------------------- */

static bool lies_in(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    size -= size == 1; /* "/" */
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static int open_roots(struct migration *self)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (!realpath(self->row->from, from) || !realpath(self->row->to, to))
        return -errno;
    if (lies_in(from, to) || lies_in(to, from))
        return -EINVAL;
    self->from = open(from, O_PATH | O_DIRECTORY | O_CLOEXEC);
    self->to = self->from < 0 ? -1 : open(to, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return self->to < 0 ? -errno : 0;
}

/* The folder of manifests is the lock as well. */
static int open_manifests(struct migration *self)
{
    if (!self->row->dry && !self->row->back && mkdirat(self->to, STORAGE_MIGRATED, 0777) &&
        errno != EEXIST)
        return -errno;
    int fd = paths_open_beneath(self->to, STORAGE_MIGRATED, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    self->manifests = fd;
    if (flock(fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return 0;
}

int migration_run(const struct migration_row *row, struct migration_counts *ret_counts,
                  json_t **ret_notes)
{
    struct migration self = { .row = row, .from = -1, .to = -1, .manifests = -1 };
    self.notes = json_array();
    int r = self.notes ? open_roots(&self) : -ENOMEM;
    if (r == 0)
        r = open_manifests(&self);
    if (r == 0)
        r = pass_all(&self);
    const int fds[] = { self.from, self.to, self.manifests };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    *ret_counts = self.counts;
    *ret_notes = self.notes;
    return r;
}
