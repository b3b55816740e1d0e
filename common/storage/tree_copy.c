#include "common/storage/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/scoped.h"
#include "common/slice.h"
#include "common/storage/walk.h"

enum { CHUNK = 1 << 17, AHEAD = 1 << 23, RANGE = 1 << 30 };

/* The disk begins while we still read: fsync then finds little left to wait for. */
static int copy_by_hand(int from, int to)
{
    char bytes[CHUNK];
    off64_t ahead = 0;
    for (;;) {
        ssize_t got = read(from, bytes, sizeof bytes);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        ahead += got > 0 ? got : 0;
        int r = file_write(to, slice_make(bytes, got > 0 ? (size_t)got : 0));
        if (r)
            return r;
        if (ahead < AHEAD)
            continue;
        (void)sync_file_range(to, lseek64(to, 0, SEEK_CUR) - ahead, ahead, SYNC_FILE_RANGE_WRITE);
        ahead = 0;
    }
}

static bool kernel_cannot(int problem)
{
    return problem == EXDEV || problem == EINVAL || problem == ENOSYS || problem == EOPNOTSUPP ||
           problem == EPERM;
}

/* By sharing blocks; else by the kernel, and by hand from where it gave up. Some file systems
 * answer 0 at once instead of an error, so the end is believed only from read. */
static int copy_bytes(int from, int to)
{
    ssize_t done = 1;
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    while (done > 0)
        done = copy_file_range(from, NULL, to, NULL, RANGE, 0);
    if (done < 0 && !kernel_cannot(errno))
        return -errno;
    return copy_by_hand(from, to);
}

/* Whose it is, if we may say so, how it may be used, and how old it is. */
static int copy_facts(int fd, const struct stat *info, mode_t mode)
{
    const struct timespec times[] = { info->st_atim, info->st_mtim };
    if (fchown(fd, info->st_uid, info->st_gid) && errno != EPERM && errno != EINVAL)
        return -errno;
    return fchmod(fd, info->st_mode & mode) || futimens(fd, times) ? -errno : 0;
}

static int copy_file(const char *from, const char *to, const struct stat *info)
{
    scoped_fd int in = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return -errno;
    scoped_fd int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return -errno;
    int r = copy_bytes(in, out);
    if (r == 0)
        r = copy_facts(out, info, 0777);
    return r == 0 && fsync(out) ? -errno : r;
}

static int copy_link(const char *from, const char *to)
{
    char target[PATH_MAX];
    ssize_t size = readlink(from, target, sizeof target - 1);
    if (size < 0)
        return -errno;
    target[size] = '\0';
    return symlink(target, to) ? -errno : 0;
}

static int end_folder(const char *path, const struct stat *info)
{
    scoped_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : copy_facts(fd, info, 02777);
    return r == 0 && fsync(fd) ? -errno : r;
}

static int copy_entry(const FTSENT *entry, const char *to)
{
    switch (entry->fts_info) {
    case FTS_D:
        return mkdir(to, 0700) ? -errno : 0;
    case FTS_DP:
        return end_folder(to, entry->fts_statp);
    case FTS_F:
        return copy_file(entry->fts_path, to, entry->fts_statp);
    case FTS_SL:
    case FTS_SLNONE:
        return copy_link(entry->fts_path, to);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return -entry->fts_errno;
    default:
        return -EINVAL;
    }
}

int tree_copy(const char *from, const char *to)
{
    char top[PATH_MAX];
    if (!slice_copy(slice_of(from), top, sizeof top))
        return -ENAMETOOLONG;
    char *const tops[] = { top, NULL };
    scoped_walk walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return -errno;
    FTSENT *entry = NULL;
    while ((entry = fts_read(walk))) {
        char place[PATH_MAX];
        int size = snprintf(place, sizeof place, "%s%s", to, entry->fts_path + strlen(from));
        int r = size < (int)sizeof place ? copy_entry(entry, place) : -ENAMETOOLONG;
        if (r)
            return r;
    }
    return errno ? -errno : 0;
}
