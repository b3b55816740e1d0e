#include "common/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/status.h"

/* A set of characters below 128, a bit each. */
struct letters {
    uint64_t bits[2];
};

#define BIT(c) (UINT64_C(1) << ((c) % 64))
#define RANGE(first, last) \
    ((BIT(last) << 1) - BIT(first)) /* both in one half, the last not its end */
#define DIGITS RANGE('0', '9')
#define LOWER RANGE('a', 'z')
#define UPPER RANGE('A', 'Z')

static const struct letters service_letters = { { DIGITS, LOWER | BIT('_') } };
static const struct letters id_first_letters = { { DIGITS, LOWER | UPPER } };
static const struct letters id_letters = { { DIGITS | BIT('-') | BIT('.'),
                                             LOWER | UPPER | BIT('_') } };

static bool all_in(struct slice text, const struct letters *letters)
{
    const uint8_t *at = text.data;
    for (size_t i = 0; i < text.size; i++)
        if (at[i] >= 128 || !(letters->bits[at[i] / 64] >> (at[i] % 64) & 1))
            return false;
    return true;
}

static bool two_dots(struct slice text)
{
    const char *end = (const char *)text.data + text.size;
    const char *dot = memchr(text.data, '.', text.size);
    while (dot && dot + 1 < end && dot[1] != '.')
        dot = memchr(dot + 1, '.', (size_t)(end - dot - 1));
    return dot && dot + 1 < end;
}

bool task_id_valid(struct slice id)
{
    if (id.size == 0 || id.size > TASK_ID_MAX || slice_is(id, "pending"))
        return false;
    return all_in(slice_make(id.data, 1), &id_first_letters) && all_in(id, &id_letters) &&
           !two_dots(id);
}

bool service_valid(struct slice service)
{
    return service.size > 0 && service.size <= SERVICE_MAX && all_in(service, &service_letters);
}

bool task_name_valid(struct slice name)
{
    return task_name_service(name).size > 0;
}

struct slice task_name_service(struct slice name)
{
    const struct slice none = { NULL, 0 };
    const char *dot = name.size ? memchr(name.data, '.', name.size) : NULL;
    if (!dot || name.size > TASK_NAME_MAX)
        return none;
    struct slice service = slice_make(name.data, (size_t)(dot - (const char *)name.data));
    struct slice verb = slice_make(dot + 1, name.size - service.size - 1);
    bool valid = service_valid(service) && verb.size > 0 && all_in(verb, &service_letters);
    return valid ? service : none;
}

bool paths_plain(const char *path)
{
    for (const char *at = path;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || size > NAME_MAX || (size == 1 && at[0] == '.') ||
            (size == 2 && memcmp(at, "..", 2) == 0))
            return false;
        at += size;
        if (!*at)
            return true;
    }
}

size_t paths_above(const char *path, size_t size)
{
    while (size > 0 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    return size;
}

int paths_open_beneath(int folder, const char *path, int flags)
{
    static const int resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = (flags & O_CREAT) ? 0666 : 0,
        .resolve = (unsigned)resolve,
    };
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
    return fd >= 0 ? fd : -errno;
}

/* What is left of an absolute path below a folder, or NULL. Only chooses what the kernel is asked.
 */
static const char *below(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    while (size > 0 && folder[size - 1] == '/')
        size--;
    if (strncmp(path, folder, size) != 0 || path[size] != '/')
        return NULL;
    path += size;
    return path + strspn(path, "/");
}

int paths_of_open(int fd, char *ret_path)
{
    char entry[40];
    char found[PATH_MAX];
    (void)snprintf(entry, sizeof entry, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(entry, found, sizeof found);
    if (size < 0)
        return -errno;
    if (size == (ssize_t)sizeof found)
        return -ENAMETOOLONG;
    memcpy(ret_path, found, (size_t)size);
    ret_path[size] = '\0';
    return 0;
}

static int lookup_status(int problem)
{
    switch (problem) {
    case -ENOENT:
    case -ENOTDIR:
        return STATUS_NOT_FOUND;
    case -EXDEV:
    case -ELOOP:
        return STATUS_DENIED;
    case -ENAMETOOLONG:
        return STATUS_INVALID;
    default:
        return problem;
    }
}

static int look_in(int folder, const char *name, bool folder_wanted, char *ret_path)
{
    scoped_fd int fd = paths_open_beneath(folder, *name ? name : ".", O_PATH);
    if (fd < 0)
        return lookup_status(fd);
    struct stat info;
    if (fstat(fd, &info))
        return -errno;
    if (folder_wanted ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode))
        return STATUS_INVALID;
    if (info.st_nlink == 0)
        return STATUS_NOT_FOUND;
    return paths_of_open(fd, ret_path);
}

/* STATUS_DENIED when the absolute path does not lie below base, however base is spelt. */
static int look_below(const char *base, const char *path, bool folder_wanted, char *ret_path)
{
    scoped_text char *canonical = realpath(base, NULL);
    if (!canonical)
        return errno == ENOENT || errno == ENOTDIR ? STATUS_DENIED : -errno;
    const char *name = below(path, canonical);
    if (!name)
        name = below(path, base);
    if (!name)
        return STATUS_DENIED;
    scoped_fd int folder = open(canonical, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOTDIR ? STATUS_DENIED : -errno;
    return look_in(folder, name, folder_wanted, ret_path);
}

static int look_below_any(const char *roots, const char *path, bool folder_wanted, char *ret_path)
{
    int result = STATUS_DENIED;
    for (const char *at = roots; result && *at;) {
        size_t size = strcspn(at, ",");
        char base[PATH_MAX];
        if (size > 0 && slice_copy(slice_make(at, size), base, sizeof base)) {
            int r = look_below(base, path, folder_wanted, ret_path);
            result = r == STATUS_DENIED ? result : r;
        }
        at += size;
        at += *at == ',';
    }
    return result;
}

int paths_resolve_input(const char *folder, const char *roots, struct slice given,
                        bool folder_wanted, char *ret_path)
{
    char path[PATH_MAX];
    if (given.size == 0 || !slice_copy(given, path, sizeof path))
        return STATUS_INVALID;
    if (path[0] != '/') {
        scoped_fd int top = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return top < 0 ? -errno : look_in(top, path, folder_wanted, ret_path);
    }
    int r = look_below(folder, path, folder_wanted, ret_path);
    return r == STATUS_DENIED ? look_below_any(roots, path, folder_wanted, ret_path) : r;
}
