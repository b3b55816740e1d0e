#include "common/storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/beneath.h"
#include "common/storage/tree.h"

static void end(struct storage_removal *removal, enum storage_fate fate, bool retriable,
                const char *what)
{
    removal->fate = fate;
    removal->retriable = retriable;
    (void)snprintf(removal->message, sizeof removal->message, "%s", what);
}

static void end_with(struct storage_removal *removal, int error)
{
    if (error == ENOENT)
        end(removal, STORAGE_MISSING, false, "there is no folder");
    else
        end(removal, STORAGE_FAILED, error != EACCES && error != EPERM && error != EROFS,
            strerror(error));
}

/* It goes to the trash before it is removed: a task of the same id may begin anew meanwhile, and
 * its folder is another. What cannot be removed goes back, unless there is a new one. */
static int remove_through_trash(int root, const char *name)
{
    char uuid[BENEATH_UUID8];
    char there[TASK_ID_MAX + 1 + BENEATH_UUID8];
    int r = beneath_uuid8(uuid);
    if (r)
        return r;
    (void)snprintf(there, sizeof there, "%s.%s", name, uuid);
    scoped_fd int trash = beneath_make(root, STORAGE_TRASH);
    if (trash < 0)
        return trash;
    if (renameat(root, name, trash, there))
        return -errno;
    r = tree_remove(trash, there);
    if (r)
        (void)renameat2(trash, there, root, name, RENAME_NOREPLACE);
    return r;
}

/* The name is looked up in the open root, and a link in its place is never followed. */
static void remove_in(int root, const char *name, struct storage_removal *removal)
{
    struct stat is;
    if (fstatat(root, name, &is, AT_SYMLINK_NOFOLLOW)) {
        end_with(removal, errno);
    } else if (!S_ISDIR(is.st_mode)) {
        end(removal, STORAGE_FAILED, false,
            S_ISLNK(is.st_mode) ? "it is a symbolic link, which is left alone" : "it is no folder");
    } else {
        int r = remove_through_trash(root, name);
        if (r)
            end_with(removal, -r);
        else
            *removal = (struct storage_removal){ .fate = STORAGE_REMOVED };
    }
}

/* Else the way back would look for the task for ever. */
static void remove_manifest(int root, const char *name)
{
    char manifest[TASK_ID_MAX + sizeof ".jsonl"];
    (void)snprintf(manifest, sizeof manifest, "%s.jsonl", name);
    scoped_fd int folder = paths_open_beneath(root, STORAGE_MIGRATED, O_PATH | O_DIRECTORY);
    if (folder >= 0)
        (void)unlinkat(folder, manifest, 0);
}

void storage_remove(const char *root, struct slice id, struct storage_removal *ret_removal)
{
    char name[TASK_ID_MAX + 1];
    if (!task_id_valid(id) || !slice_copy(id, name, sizeof name)) {
        end(ret_removal, STORAGE_FAILED, false, "no task has such a name");
        return;
    }
    scoped_fd int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0) {
        end_with(ret_removal, errno);
        return;
    }
    remove_in(top, name, ret_removal);
    if (ret_removal->fate != STORAGE_FAILED)
        remove_manifest(top, name);
}
