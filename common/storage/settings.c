#include "common/storage/storage_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/slice.h"

int storage_check_marks(const struct settings *settings)
{
    if (settings->storage_low_bytes <= settings->storage_high_bytes)
        return 0;
    log_event(LOG_LEVEL_ERROR, "start_failed",
              "setting=storage.low_bytes why=\"storage.low_bytes, %lld, is above "
              "storage.high_bytes, %lld: lower the first or raise the second\"",
              (long long)settings->storage_low_bytes, (long long)settings->storage_high_bytes);
    return -EINVAL;
}

/* A path becomes the one above it. */
static void go_up(char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    path[size] = '\0';
    if (size == 0)
        memcpy(path, ".", 2);
}

/* What is wrong with a place that is there; NULL: nothing that a setting can help. */
static const char *fault_of(const char *path, bool above)
{
    struct stat info;
    int problem = stat(path, &info) ? errno : 0;
    if (problem == ENOTDIR || problem == ELOOP || (problem == 0 && !S_ISDIR(info.st_mode)))
        return "no folder: name one on the shared disk";
    if (problem == 0 && faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS))
        problem = errno;
    if (problem != EACCES && problem != EROFS)
        return NULL;
    return above ? "it is not there and cannot be made: make it, give this program's user the "
                   "right to write what is above it, or name another one"
                 : "it may not be written: give this program's user the right, or name another "
                   "one";
}

static const char *root_fault(const char *root, bool makes)
{
    struct stat info;
    char path[PATH_MAX];
    bool above = false;
    if (!*root || !slice_copy(slice_of(root), path, sizeof path))
        return "no path: name a folder on the shared disk";
    /* A link that leads nowhere is one to a disk that is not mounted. */
    for (; stat(path, &info) && errno == ENOENT && lstat(path, &info); above = true)
        go_up(path);
    return above && !makes ? NULL : fault_of(path, above);
}

int storage_check_root(const struct settings *settings, bool makes)
{
    const char *why = root_fault(settings->storage_root, makes);
    if (!why)
        return 0;
    log_event(LOG_LEVEL_ERROR, "start_failed", "setting=storage.root root=%s why=%s",
              settings->storage_root, why);
    return -EINVAL;
}
