/* Engines may still be writing beneath, so nothing is looked up by a path of more than one name:
 * each is taken relative to a folder that is open already, and links are never followed. */
#include "common/storage/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"

enum { TRIES = 100 }; /* somebody may be putting more in meanwhile */

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

int tree_remove(int folder, const char *name)
{
    int r = remove_one(folder, name);
    uint64_t serial = 0;
    for (int tries = 0; r == -ENOTEMPTY && tries < TRIES; tries++) {
        scoped_dir top = open_dir(folder, name);
        if (!top)
            return errno == ENOENT ? 0 : -errno;
        r = 0;
        for (int left = 1; r == 0 && left > 0;)
            r = sweep(top, &serial, &left);
        r = r ? r : remove_one(folder, name);
    }
    return r;
}
