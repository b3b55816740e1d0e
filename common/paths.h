#pragma once
/* Ids and names, and what may be reached from a task's folder. Names from outside are resolved
 * beneath a folder by the kernel (openat2, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_MAGICLINKS), never by string prefix. What stands in those folders is common/storage's.
 */
#include "common/slice.h"

#include <limits.h>
#include <stdbool.h>

enum { TASK_ID_MAX = 128, TASK_NAME_MAX = 64, SERVICE_MAX = 32 };

/* [A-Za-z0-9][A-Za-z0-9._-]{0,127}, never "..", never "pending" (a Redis key of that name is
 * taken). */
#define TASK_ID_RULE \
    "must be [A-Za-z0-9][A-Za-z0-9._-]{0,127}, with no two dots together, and not 'pending'"
bool task_id_valid(struct slice id);
/* [a-z0-9_]+\.[a-z0-9_]+, at most TASK_NAME_MAX, the part before the dot at most SERVICE_MAX. */
#define TASK_NAME_RULE "must be service.method of [a-z0-9_], at most 64 bytes, 32 of them service"
bool task_name_valid(struct slice name);
/* [a-z0-9_]+, at most SERVICE_MAX. */
bool service_valid(struct slice service);
/* "ffmpeg" of "ffmpeg.extract_audio", borrowed; {NULL, 0} for a name that is none. */
struct slice task_name_service(struct slice name);

/* Relative, of plain names that stay beneath whatever folder it is taken in: none is empty, ".",
 * ".." or longer than NAME_MAX. What the names are there, links say, the kernel alone can tell. */
bool paths_plain(const char *path);

/* The size of path without its last name, "a/" of "a/b" and of "a/b/"; 0: it is one name. */
size_t paths_above(const char *path, size_t size);

/* Opens a path beneath an open folder, as the kernel resolves it: never above the folder, never
 * through a link. A descriptor (O_CLOEXEC), or -errno: -EXDEV or -ELOOP when it would. */
int paths_open_beneath(int folder, const char *path, int flags);
/* The absolute name of what is open, free of links. 0 or -errno. ret_path (PATH_MAX). */
int paths_of_open(int fd, char *ret_path);

/* Where an input lies that is given as an absolute or a relative path: relative means in the task's
 * folder; absolute must lie in the task's folder or beneath one of roots (comma separated, may be
 * ""). 0; STATUS_NOT_FOUND (no such file in any); STATUS_DENIED (outside all roots, or through a
 * symbolic link); STATUS_INVALID (empty, NUL within, too long, or neither a regular file nor, when
 * folder_wanted, a folder); -errno. ret_path (PATH_MAX) gets an absolute path free of links. */
int paths_resolve_input(const char *folder, const char *roots, struct slice given,
                        bool folder_wanted, char *ret_path);
