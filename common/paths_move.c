/* Trees that go and trees that move. Engines may still be writing beneath, so nothing is looked up
 * twice by its path: names are taken relative to folders that are open already. */
#include "common/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/copy.h"
#include "common/scoped.h"

static void dir_end(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}
#define scoped_dir __attribute__((cleanup(dir_end))) DIR *

static DIR *open_dir(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0)
        (void)close(fd);
    return dir;
}

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* 0 also when it is gone already; -ENOTEMPTY for a folder with something in it. */
static int remove_one(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* Moves a folder up to the top under a name nobody uses. */
static int lift(int top, int folder, const char *name, uint64_t *serial)
{
    for (int tries = 0; tries < 1000; tries++) {
        char fresh[48];
        (void)snprintf(fresh, sizeof fresh, ".gone.%llu", (unsigned long long)++*serial);
        if (renameat2(folder, name, top, fresh, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno == EINVAL && renameat(folder, name, top, fresh) == 0)
            return 0; /* a file system without NOREPLACE */
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return errno == ENOENT ? 0 : -errno;
    }
    return -EEXIST;
}

/* Empties a folder of the top: files go, and folders with something in them move up to the top, so
 * that any depth is removed with two open folders and without recursion. */
static int flatten(int top, const char *name, uint64_t *serial)
{
    scoped_dir dir = open_dir(top, name);
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        if (is_self_or_parent(entry->d_name))
            continue;
        int r = remove_one(dirfd(dir), entry->d_name);
        if (r == -ENOTEMPTY)
            r = lift(top, dirfd(dir), entry->d_name, serial);
        if (r)
            return r;
    }
    return 0;
}

/* One look through the top; *ret_left counts what may still be there. */
static int sweep(DIR *top, uint64_t *serial, int *ret_left)
{
    int left = 0;
    struct dirent *entry = NULL;
    rewinddir(top);
    while ((entry = readdir(top))) {
        if (is_self_or_parent(entry->d_name))
            continue;
        int r = remove_one(dirfd(top), entry->d_name);
        if (r == -ENOTEMPTY) {
            left++;
            r = flatten(dirfd(top), entry->d_name, serial);
        }
        if (r)
            return r;
    }
    *ret_left = left;
    return 0;
}

int paths_remove_tree(const char *path)
{
    int r = remove_one(AT_FDCWD, path);
    if (r != -ENOTEMPTY)
        return r;
    scoped_dir top = open_dir(AT_FDCWD, path);
    if (!top)
        return -errno;
    uint64_t serial = 0;
    int left = 1;
    while (r == -ENOTEMPTY || (r == 0 && left > 0))
        r = sweep(top, &serial, &left);
    return r ? r : remove_one(AT_FDCWD, path);
}

/* A name beside path that nobody else uses, on any machine that shares the disk. */
static int name_beside(const char *path, const char *what, char *ret_path)
{
    int size = snprintf(ret_path, PATH_MAX, "%s.%s.%ld.%llx", path, what, (long)getpid(),
                        (unsigned long long)clock_wall_ms());
    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* For file systems that cannot exchange two names: the old one steps aside first. */
static int replace_aside(const char *from, const char *to)
{
    char aside[PATH_MAX];
    int r = name_beside(to, "old", aside);
    if (r)
        return r;
    if (rename(to, aside) && errno != ENOENT)
        return -errno;
    if (rename(from, to)) {
        r = -errno;
        (void)rename(aside, to);
        return r;
    }
    return paths_remove_tree(aside);
}

/* Within one file system. -EXDEV when it is not. */
static int replace(const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EISDIR && errno != ENOTDIR)
        return -errno;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
        return paths_remove_tree(from); /* what was there before */
    return errno == EINVAL || errno == ENOSYS ? replace_aside(from, to) : -errno;
}

static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    if (!slice_copy(slice_of(path), parent, sizeof parent))
        return -ENAMETOOLONG;
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    scoped_fd int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) ? -errno : 0;
}

int paths_hand_over(const char *from, const char *to)
{
    int r = replace(from, to);
    if (r != -EXDEV)
        return r;
    char part[PATH_MAX];
    r = name_beside(to, "part", part);
    if (r)
        return r;
    r = copy_tree(from, part);
    if (r == 0)
        r = replace(part, to);
    if (r) {
        (void)paths_remove_tree(part);
        return r;
    }
    r = sync_parent(to);
    return r ? r : paths_remove_tree(from);
}
