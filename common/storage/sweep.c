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

static int remove_old(int folder, const char *name, int64_t before_ms, uint64_t *count)
{
    int64_t ms = 0;
    int r = latest_change(folder, name, &ms);
    if (r || ms > before_ms)
        return r == -ENOENT ? 0 : r;
    r = tree_remove(folder, name);
    *count += r == 0;
    return r;
}

/* All goes that can; the first problem is told. */
static int remove_entries(int folder, int64_t before_ms, uint64_t *count)
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
        int r = remove_old(folder, entry->d_name, before_ms, count);
        first = first ? first : r;
    }
    (void)closedir(dir);
    return first;
}

/* Of a folder's own folder; 0 when there is none. */
static int remove_entries_of(int folder, const char *name, int64_t before_ms, uint64_t *count)
{
    scoped_fd int fd = paths_open_beneath(folder, name, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return remove_entries(fd, before_ms, count);
}

static bool is_part(const char *name)
{
    static const size_t start = sizeof STORAGE_PART - 1;
    return strncmp(name, STORAGE_PART, start) == 0 && strlen(name) == start + 8 &&
           strspn(name + start, "0123456789abcdef") == 8;
}

/* The entry by its way from the open folder, each name of it no link. */
static int remove_part(int folder, const char *path, int64_t before_ms, uint64_t *count)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const struct slice above = slash ? slice_make(path, (size_t)(slash - path)) : SLICE(".");
    if (!slice_copy(above, parent, sizeof parent))
        return -ENAMETOOLONG;
    scoped_fd int fd = paths_open_beneath(folder, parent, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return remove_old(fd, slash ? slash + 1 : path, before_ms, count);
}

static int remove_parts(int folder, int64_t before_ms, uint64_t *count)
{
    scoped_walk walk = walk_open(folder, ".");
    if (!walk)
        return -errno;
    FTSENT *entry = NULL;
    int r = walk_next(walk, &entry);
    const size_t top = entry ? entry->fts_pathlen + 1u : 0; /* with the slash behind it */
    while (r == 0 && entry) {
        const bool tmp = entry->fts_level == 1 && strcmp(entry->fts_name, "tmp") == 0;
        const bool part = entry->fts_level > 0 && is_part(entry->fts_name);
        if (tmp || part)
            (void)fts_set(walk, entry, FTS_SKIP);
        if (part)
            r = remove_part(folder, entry->fts_path + top, before_ms, count);
        if (r == 0)
            r = walk_next(walk, &entry);
    }
    return r;
}

int storage_sweep(int folder, int64_t age_ms, uint64_t *ret_count)
{
    const int64_t before_ms = clock_wall_ms() - age_ms;
    uint64_t count = 0;
    int r = remove_entries_of(folder, "tmp", before_ms, &count);
    if (r == 0)
        r = remove_parts(folder, before_ms, &count);
    if (r == 0)
        *ret_count = count;
    return r;
}

int storage_empty_trash(const char *root, int64_t age_ms, uint64_t *ret_count)
{
    uint64_t count = 0;
    scoped_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return -errno;
    int r = remove_entries_of(top, STORAGE_TRASH, clock_wall_ms() - age_ms, &count);
    if (r == 0)
        *ret_count = count;
    return r;
}
