/* What nobody works at any more. Age is told by the latest change of anything within, by the file
 * system's own record of it (ctime), which nobody sets: a file that is still written keeps the
 * whole of its folder. */
#include "common/storage/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/tree.h"
#include "common/storage/walk.h"

static int64_t changed_ms(const struct stat *info)
{
    return (int64_t)info->st_ctim.tv_sec * 1000 + info->st_ctim.tv_nsec / 1000000;
}

/* Of an entry and all within. What lies too deep to be looked at has no say. 0 or -errno. */
static int latest_change(int folder, const char *name, int64_t *ret_ms)
{
    int64_t latest_ms = 0;
    scoped_walk walk = walk_open(folder, name);
    if (!walk)
        return -errno;
    FTSENT *entry = NULL;
    int r = walk_next(walk, &entry);
    while (r == 0 && entry) {
        const int64_t ms = changed_ms(entry->fts_statp);
        latest_ms = ms > latest_ms ? ms : latest_ms;
        r = walk_next(walk, &entry);
    }
    if (r && r != -ENAMETOOLONG)
        return r;
    *ret_ms = latest_ms;
    return 0;
}

int storage_changed(int folder, int64_t *ret_ms)
{
    return latest_change(folder, ".", ret_ms);
}

/* What has not been changed since. */
struct sweep {
    int64_t before_ms;
    bool look; /* only counted, not removed */
    uint64_t count;
};

static int remove_old(int folder, const char *name, struct sweep *sweep)
{
    int64_t ms = 0;
    int r = latest_change(folder, name, &ms);
    if (r || ms > sweep->before_ms)
        return r == -ENOENT ? 0 : r;
    if (!sweep->look)
        r = tree_remove(folder, name);
    sweep->count += r == 0;
    return r;
}

/* All goes that can; the first problem is told. */
static int remove_entries(int folder, struct sweep *sweep)
{
    int fd = dup(folder);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int problem = errno;
        if (fd >= 0)
            (void)close(fd);
        return -problem;
    }
    int first = 0;
    struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int r = remove_old(folder, entry->d_name, sweep);
        first = first ? first : r;
    }
    (void)closedir(dir);
    return first;
}

/* Of a folder's own folder; 0 when there is none. */
static int remove_entries_of(int folder, const char *name, struct sweep *sweep)
{
    scoped_fd int fd = paths_open_beneath(folder, name, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return remove_entries(fd, sweep);
}

/* The entry by its way from the open folder, each name of it no link. */
static int remove_part(int folder, const char *path, struct sweep *sweep)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const struct slice above = slash ? slice_make(path, (size_t)(slash - path)) : SLICE(".");
    if (!slice_copy(above, parent, sizeof parent))
        return -ENAMETOOLONG;
    scoped_fd int fd = paths_open_beneath(folder, parent, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return remove_old(fd, slash ? slash + 1 : path, sweep);
}

static int remove_parts(int folder, struct sweep *sweep)
{
    scoped_walk walk = walk_open(folder, ".");
    if (!walk)
        return -errno;
    FTSENT *entry = NULL;
    int r = walk_next(walk, &entry);
    const size_t top = entry ? entry->fts_pathlen + 1u : 0; /* with the slash behind it */
    while (r == 0 && entry) {
        const bool tmp = entry->fts_level == 1 && strcmp(entry->fts_name, "tmp") == 0;
        const bool part = entry->fts_level > 0 && storage_is_part(entry->fts_name);
        if (tmp || part)
            (void)fts_set(walk, entry, FTS_SKIP);
        if (part)
            r = remove_part(folder, entry->fts_path + top, sweep);
        if (r == 0)
            r = walk_next(walk, &entry);
    }
    return r;
}

static int sweep_folder(int folder, struct sweep *sweep, uint64_t *ret_count)
{
    int r = remove_entries_of(folder, "tmp", sweep);
    if (r == 0)
        r = remove_parts(folder, sweep);
    if (r == 0)
        *ret_count = sweep->count;
    return r;
}

int storage_sweep(int folder, int64_t age_ms, uint64_t *ret_count)
{
    struct sweep sweep = { .before_ms = clock_wall_ms() - age_ms };
    return sweep_folder(folder, &sweep, ret_count);
}

int storage_sweep_look(int folder, int64_t age_ms, uint64_t *ret_count)
{
    struct sweep sweep = { .before_ms = clock_wall_ms() - age_ms, .look = true };
    return sweep_folder(folder, &sweep, ret_count);
}

static int sweep_trash(const char *root, struct sweep *sweep, uint64_t *ret_count)
{
    scoped_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return -errno;
    int r = remove_entries_of(top, STORAGE_TRASH, sweep);
    if (r == 0)
        *ret_count = sweep->count;
    return r;
}

int storage_empty_trash(const char *root, int64_t age_ms, uint64_t *ret_count)
{
    struct sweep sweep = { .before_ms = clock_wall_ms() - age_ms };
    return sweep_trash(root, &sweep, ret_count);
}

int storage_trash_look(const char *root, int64_t age_ms, uint64_t *ret_count)
{
    struct sweep sweep = { .before_ms = clock_wall_ms() - age_ms, .look = true };
    return sweep_trash(root, &sweep, ret_count);
}
