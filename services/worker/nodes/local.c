#include "services/worker/nodes/local.h"

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char aside[] = "sent"; /* in the attempt's folder, where nobody else puts anything */

#define FNV_START UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

static uint64_t mixed(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * FNV_PRIME;
}

/* What tells a file from another of its name, and from itself after a write: the time of its last
 * change is nobody's to set. A folder is told by what is in it. */
static uint64_t stamp_of(const char *name, const struct stat *info)
{
    const bool folder = S_ISDIR(info->st_mode);
    uint64_t hash = mixed(FNV_START, (uint64_t)info->st_ino);
    for (const char *at = name; *at; at++)
        hash = mixed(hash, (unsigned char)*at);
    if (folder)
        return hash;
    hash = mixed(hash, (uint64_t)info->st_size);
    hash = mixed(hash, (uint64_t)info->st_ctim.tv_sec);
    return mixed(hash, (uint64_t)info->st_ctim.tv_nsec);
}

/* The sum of all beneath, whatever their order. What is moved keeps it: a move alone changes the
 * top's own times, and those of a file. */
static int stamp(const char *path, uint64_t *ret_stamp)
{
    char top[PATH_MAX];
    char *const tops[] = { top, NULL };
    if (!slice_copy(slice_of(path), top, sizeof top))
        return -ENAMETOOLONG;
    FTS *tree = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return -errno;
    const size_t size = strlen(path);
    uint64_t sum = 0;
    errno = 0;
    for (const FTSENT *entry = fts_read(tree); entry; entry = fts_read(tree)) {
        if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS)
            sum += stamp_of(entry->fts_path + size, entry->fts_statp);
        errno = 0;
    }
    const int problem = errno;
    (void)fts_close(tree);
    if (problem)
        return -problem;
    *ret_stamp = sum;
    return 0;
}

int local_look(engine_t *engine, const char *path, bool folder, struct local *ret_local)
{
    const char *own = engine_folder(engine);
    const size_t size = strlen(own);
    int r = paths_resolve_input(own, "", slice_of(path), folder, ret_local->path);
    if (r < 0)
        return r;
    const char *name = ret_local->path + size;
    if (r || strncmp(ret_local->path, own, size) != 0 || name[0] != '/' || !name[1] ||
        strcmp(name + 1, "tmp") == 0 || strncmp(name + 1, "tmp/", 4) == 0)
        return engine_refuse(engine, STATUS_DENIED, "delete_local",
                             "%.300s is not deleted: it does not lie beneath the task's own folder",
                             path);
    ret_local->name = name + 1;
    return stamp(ret_local->path, &ret_local->stamp);
}

/* Its parent is looked up by the kernel at every step, through no link. A descriptor or -errno. */
static int open_parent(engine_t *engine, const char *name, const char **ret_base)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(name, '/');
    scoped_fd int own = open(engine_folder(engine), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    const struct slice above = slash ? slice_make(name, (size_t)(slash - name)) : SLICE(".");
    if (!slice_copy(above, parent, sizeof parent))
        return -ENAMETOOLONG;
    *ret_base = slash ? slash + 1 : name;
    return paths_open_beneath(own, parent, O_PATH | O_DIRECTORY);
}

static int changed(engine_t *engine, const struct local *self)
{
    return engine_retry(engine, -1, "%.300s changed while it was uploaded: it stays", self->name);
}

/* Aside first, where nothing more comes to it: what is looked at there is what is removed. */
static int remove_from(engine_t *engine, int parent, const char *base, const struct local *self)
{
    struct stat info;
    uint64_t now = 0;
    int r = stamp(self->path, &now);
    if (r == 0 && now != self->stamp)
        return changed(engine, self);
    if (r || lstat(self->path, &info))
        return r ? r : -errno;
    if (!S_ISDIR(info.st_mode)) /* one name, in one step */
        return unlinkat(parent, base, 0) ? -errno : 0;
    if (renameat(parent, base, AT_FDCWD, aside))
        return -errno;
    r = stamp(aside, &now);
    if (r == 0 && now == self->stamp)
        return tree_remove(AT_FDCWD, aside);
    if (renameat2(AT_FDCWD, aside, parent, base, RENAME_NOREPLACE))
        return -errno;
    return r ? r : changed(engine, self);
}

int local_remove(engine_t *engine, const struct local *self)
{
    const char *base = self->name;
    scoped_fd int parent = open_parent(engine, self->name, &base);
    int r = parent < 0 ? parent : remove_from(engine, parent, base, self);
    return r < 0
               ? engine_retry(engine, -1, "%.300s cannot be deleted: %s", self->name, strerror(-r))
               : r;
}
