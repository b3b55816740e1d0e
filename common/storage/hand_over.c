#include "common/storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/storage/beneath.h"
#include "common/storage/tree.h"

/* A rename of one kind: within one file system, in one step. 0 or -errno. */
typedef int place_fn(const char *from, const char *to);

static int parent_of(const char *path, char ret_parent[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    if (!slash)
        return slice_copy(SLICE("."), ret_parent, PATH_MAX) ? 0 : -EINVAL;
    return slice_copy(slice_make(path, size ? size : 1), ret_parent, PATH_MAX) ? 0 : -ENAMETOOLONG;
}

/* A name that nobody has, in the folder of path: what is renamed from there to path stays on its
 * file system, and a long name of path's makes it no longer. */
static int name_beside(const char *path, char ret_name[PATH_MAX])
{
    char parent[PATH_MAX];
    char uuid[BENEATH_UUID8];
    int r = parent_of(path, parent);
    if (r == 0)
        r = beneath_uuid8(uuid);
    if (r)
        return r;
    int size = snprintf(ret_name, PATH_MAX, "%s/" STORAGE_PART "%s", parent, uuid);
    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

bool storage_is_part(const char *name)
{
    static const size_t start = sizeof STORAGE_PART - 1;
    return strncmp(name, STORAGE_PART, start) == 0 && strlen(name) == start + 8 &&
           strspn(name + start, "0123456789abcdef") == 8;
}

/* For file systems that cannot exchange two names: the old one steps aside first. */
static int replace_aside(const char *from, const char *to)
{
    char aside[PATH_MAX];
    int r = name_beside(to, aside);
    if (r)
        return r;
    if (rename(to, aside) && errno != ENOENT)
        return -errno;
    if (rename(from, to)) {
        r = -errno;
        (void)rename(aside, to);
        return r;
    }
    return tree_remove(AT_FDCWD, aside);
}

/* A folder, or over a folder, is exchanged: a kill then leaves the old one where the new one was
 * made. */
static int replace(const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EISDIR && errno != ENOTDIR)
        return -errno;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
        return tree_remove(AT_FDCWD, from); /* what was there before */
    return errno == EINVAL || errno == ENOSYS ? replace_aside(from, to) : -errno;
}

/* Where a file system knows no NOREPLACE, a second name does the same for files. */
int storage_rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    return link(from, to) || unlink(from) ? -errno : 0;
}

static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    int r = parent_of(path, parent);
    if (r)
        return r;
    scoped_fd int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) ? -errno : 0;
}

/* Across file systems. */
static int move_copy(const char *from, const char *to, place_fn *place)
{
    char part[PATH_MAX];
    int r = name_beside(to, part);
    if (r)
        return r;
    r = tree_copy(from, part);
    if (r == 0)
        r = place(part, to);
    if (r) {
        (void)tree_remove(AT_FDCWD, part);
        return r;
    }
    r = sync_parent(to);
    return r ? r : tree_remove(AT_FDCWD, from);
}

static int move(const char *from, const char *to, place_fn *place)
{
    int r = place(from, to);
    return r == -EXDEV ? move_copy(from, to, place) : r;
}

int storage_hand_over(const char *from, const char *to)
{
    struct stat info;
    if (lstat(from, &info))
        return -errno;
    return S_ISLNK(info.st_mode) ? -ELOOP : move(from, to, replace);
}

int storage_hand_over_new(const char *from, const char *to)
{
    struct stat info;
    if (lstat(from, &info))
        return -errno;
    if (!S_ISREG(info.st_mode))
        return S_ISLNK(info.st_mode) ? -ELOOP : -EINVAL;
    if (lstat(to, &info) == 0)
        return -EEXIST; /* before a copy is made for nothing */
    return move(from, to, storage_rename_new);
}
