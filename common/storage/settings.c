#include "common/storage/storage_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/paths.h"
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
    size_t size = paths_above(path, strlen(path));
    while (size > 1 && path[size - 1] == '/')
        size--;
    path[size] = '\0';
    if (size == 0)
        memcpy(path, ".", 2);
}

static bool is_no_folder(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0)
        return !S_ISDIR(info.st_mode);
    return errno == ENOTDIR || errno == ELOOP;
}

/* NULL: nothing is known that speaks against it. */
static const char *trouble_of(const char *path, bool above)
{
    struct stat info;
    int problem = stat(path, &info) ? errno : 0;
    if (problem == 0 && faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS))
        problem = errno;
    if (problem != EACCES && problem != EROFS)
        return NULL;
    return above ? "it is not there and cannot be made: make it, give this program's user the "
                   "right to write what is above it, or name another one"
                 : "it may not be written: give this program's user the right, or name another "
                   "one";
}

static int refuse_root(const char *root, const char *why)
{
    log_event(LOG_LEVEL_ERROR, "start_failed", "setting=storage.root root=%s why=%s", root, why);
    return -EINVAL;
}

int storage_check_root(const struct settings *settings, bool makes)
{
    const char *root = settings->storage_root;
    struct stat info;
    char path[PATH_MAX];
    bool above = false;
    if (!*root || !slice_copy(slice_of(root), path, sizeof path))
        return refuse_root(root, "no path: name a folder on the shared disk");
    /* A link that leads nowhere is one to a disk that is not mounted. */
    for (; stat(path, &info) && errno == ENOENT && lstat(path, &info); above = true)
        go_up(path);
    if (above && !makes)
        return 0;
    if (is_no_folder(path))
        return refuse_root(root, "no folder: name one on the shared disk");
    const char *why = trouble_of(path, above);
    if (why)
        log_event(LOG_LEVEL_WARN, "storage_trouble", "setting=storage.root root=%s why=%s", root,
                  why);
    return 0;
}
