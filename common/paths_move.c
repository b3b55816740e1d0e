#include "common/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "common/tree.h"

int paths_remove_tree(const char *path)
{
    return tree_remove(AT_FDCWD, path);
}

/* A name beside path for a step on the way. Two that pick the same by chance fail, they never mix:
 * it is made with O_EXCL or mkdir. */
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
    struct stat info;
    if (lstat(from, &info))
        return -errno;
    if (S_ISLNK(info.st_mode))
        return -ELOOP;
    int r = replace(from, to);
    if (r != -EXDEV)
        return r;
    char part[PATH_MAX];
    r = name_beside(to, "part", part);
    if (r)
        return r;
    r = tree_copy(from, part);
    if (r == 0)
        r = replace(part, to);
    if (r) {
        (void)paths_remove_tree(part);
        return r;
    }
    r = sync_parent(to);
    return r ? r : paths_remove_tree(from);
}
