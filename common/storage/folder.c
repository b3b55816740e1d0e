#include "common/storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/storage/beneath.h"

enum { TRIES = 100 }; /* while others remove what was just made */

/* mkdir -p of a path the operator chose; links in it are his. */
static int make_folders(const char *path)
{
    char part[PATH_MAX];
    if (!slice_copy(slice_of(path), part, sizeof part))
        return -ENAMETOOLONG;
    for (char *at = part; *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char was = *at;
        *at = '\0';
        if (mkdir(part, BENEATH_FOLDER_MODE) && errno != EEXIST)
            return -errno;
        *at = was;
    }
    return 0;
}

/* What stands in a folder's place, told from what the machine cannot do. */
static int folder_status(int problem)
{
    if (problem == -ENOENT)
        return STATUS_NOT_FOUND;
    return problem == -ELOOP || problem == -ENOTDIR ? STATUS_DENIED : problem;
}

static int open_in(int top, const char *name, bool make)
{
    if (!make)
        return paths_open_beneath(top, name, O_PATH | O_DIRECTORY);
    int folder = beneath_make(top, name);
    if (folder < 0)
        return folder;
    scoped_fd int tmp = beneath_make(folder, "tmp");
    if (tmp >= 0)
        return folder;
    (void)close(folder);
    return tmp;
}

int storage_open(const char *root, struct slice id, bool make, int *ret_folder)
{
    char name[TASK_ID_MAX + 1];
    if (!task_id_valid(id) || !slice_copy(id, name, sizeof name))
        return STATUS_INVALID;
    int r = make ? make_folders(root) : 0;
    if (r)
        return r;
    scoped_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return errno == ENOENT ? STATUS_NOT_FOUND : -errno;
    int folder = open_in(top, name, make);
    for (int tries = 0; make && folder == -ENOENT && tries < TRIES; tries++)
        folder = open_in(top, name, make);
    if (folder < 0)
        return folder_status(folder);
    *ret_folder = folder;
    return 0;
}

int storage_task_folder(const char *root, struct slice id, char *ret_path)
{
    scoped_fd int folder = -1;
    int r = storage_open(root, id, true, &folder);
    return r ? r : paths_of_open(folder, ret_path);
}

int storage_attempt_folder(const char *folder, const char *task_name, uint32_t attempt,
                           char *ret_path)
{
    if (!task_name_valid(slice_of(task_name)))
        return -EINVAL;
    char uuid[BENEATH_UUID8];
    char name[TASK_NAME_MAX + 16 + BENEATH_UUID8];
    char path[PATH_MAX];
    int r = beneath_uuid8(uuid);
    if (r)
        return r;
    (void)snprintf(name, sizeof name, "%s.%u.%s", task_name, attempt, uuid);
    int size = snprintf(path, sizeof path, "%s/tmp/%s", folder, name);
    if (size >= (int)sizeof path)
        return -ENAMETOOLONG;
    scoped_fd int top = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return -errno;
    scoped_fd int tmp = beneath_make(top, "tmp");
    if (tmp < 0)
        return tmp;
    if (mkdirat(tmp, name, BENEATH_FOLDER_MODE))
        return -errno;
    memcpy(ret_path, path, (size_t)size + 1);
    return 0;
}

bool storage_is_place(const char *path)
{
    return paths_plain(path) && strcmp(path, "tmp") != 0 && strncmp(path, "tmp/", 4) != 0;
}

int storage_make_parents(const char *folder, const char *path)
{
    scoped_fd int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    struct slice rest;
    struct slice part = slice_until(slice_of(path), '/', &rest);
    for (; rest.size; part = slice_until(rest, '/', &rest)) {
        char name[NAME_MAX + 1];
        int next = slice_copy(part, name, sizeof name) ? beneath_make(at, name) : -ENAMETOOLONG;
        if (next < 0)
            return next;
        (void)close(at);
        at = next;
    }
    return 0;
}

static bool suffix_valid(const char *suffix)
{
    size_t size = strlen(suffix);
    if (size == 0)
        return true;
    return suffix[0] == '.' && size <= STORAGE_SUFFIX_MAX &&
           strspn(suffix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               size;
}

int storage_temp_name(const char *suffix, char ret_name[STORAGE_TEMP_NAME])
{
    char uuid[BENEATH_UUID8];
    if (!suffix_valid(suffix))
        return -EINVAL;
    int r = beneath_uuid8(uuid);
    if (r == 0)
        (void)snprintf(ret_name, STORAGE_TEMP_NAME, "temp_%lld_%s%s", (long long)clock_wall_ms(),
                       uuid, suffix);
    return r;
}

int storage_temp_open(int folder, const char *suffix, char ret_name[STORAGE_TEMP_NAME],
                      int *ret_file)
{
    scoped_fd int tmp = beneath_make(folder, "tmp");
    if (tmp < 0)
        return tmp;
    for (;;) {
        char name[STORAGE_TEMP_NAME];
        int r = storage_temp_name(suffix, name);
        if (r)
            return r;
        int file = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST)
            return -errno;
        if (file < 0)
            continue;
        memcpy(ret_name, name, sizeof name);
        *ret_file = file;
        return 0;
    }
}
