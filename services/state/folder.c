#include "services/state/folder.h"

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define ASIDE ".forgotten." /* no task's id begins so */

static void end(struct folder_result *result, enum folder_fate fate, bool retriable,
                const char *what)
{
    result->fate = fate;
    result->retriable = retriable;
    snprintf(result->message, sizeof result->message, "%s", what);
}

static void end_with(struct folder_result *result, int error)
{
    if (error == ENOENT)
        end(result, FOLDER_MISSING, false, "there is no folder");
    else
        end(result, FOLDER_FAILED, error != EACCES && error != EPERM && error != EROFS,
            strerror(error));
}

/* It stands aside before it is removed: a task of the same id may begin anew meanwhile, and its
 * folder is another. What cannot be removed goes back, unless there is a new one. */
static int remove_aside(int root, const char *name)
{
    char aside[sizeof ASIDE + TASK_ID_MAX];
    (void)snprintf(aside, sizeof aside, ASIDE "%s", name);
    int r = tree_remove(root, aside); /* of one that was killed */
    if (r == 0 && renameat(root, name, root, aside))
        r = -errno;
    else if (r == 0)
        r = tree_remove(root, aside);
    if (r)
        (void)renameat2(root, aside, root, name, RENAME_NOREPLACE);
    return r;
}

/* The name is looked up in the open root, and a link in its place is never followed. */
static void remove_in(int root, const char *name, struct folder_result *result)
{
    struct stat is;
    if (fstatat(root, name, &is, AT_SYMLINK_NOFOLLOW)) {
        end_with(result, errno);
    } else if (!S_ISDIR(is.st_mode)) {
        end(result, FOLDER_FAILED, false,
            S_ISLNK(is.st_mode) ? "it is a symbolic link, which is left alone" : "it is no folder");
    } else {
        int r = remove_aside(root, name);
        if (r)
            end_with(result, -r);
        else
            *result = (struct folder_result){ .fate = FOLDER_DELETED };
    }
}

void folder_remove(const char *root, struct slice id, struct folder_result *ret_result)
{
    char name[TASK_ID_MAX + 1];
    if (!task_id_valid(id) || !slice_copy(id, name, sizeof name)) {
        end(ret_result, FOLDER_FAILED, false, "no task has such a name");
        return;
    }
    scoped_fd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        end_with(ret_result, errno);
    else
        remove_in(fd, name, ret_result);
}
