#pragma once
/* One file from one folder to another, verified by SHA-256; whatever it is killed at, the next one
 * goes on. Paths lie beneath open folders, no link is followed; a folder of -1 is one that is not
 * there. All calls block. */
#include <stdbool.h>
#include <stdint.h>

enum { CARRY_SHA256 = 65 };

/* Of a regular file. 0; -ENOENT; -ELOOP or -EXDEV (a link), -EINVAL (neither), or another -errno.
 */
int carry_digest(int folder, const char *path, char ret_sha256[CARRY_SHA256]);

enum carry_fate {
    CARRY_MOVED,
    CARRY_BEFORE,  /* it had been moved before */
    CARRY_MISSING, /* it is at neither place */
    CARRY_CONFLICT /* what is there, or what is here by now, is another file: both are left alone */
};
struct carry {
    int from, to; /* folders */
    const char *path;
    const char *sha256; /* of the file as it is to arrive */
    bool dry;           /* only looked at */
};
/* The folder of its place is there, unless it is dry. 0 and its fate, or -errno: all is as it was.
 */
int carry_file(const struct carry *row, enum carry_fate *ret_fate);

/* An open folder's names are on disk. 0 or -errno. */
int carry_sync(int folder);

/* "/proc/self/fd/N/name" of what lies beneath an open folder, for calls that want a name; *ret_fd
 * (O_PATH) is the caller's to close, and the name good as long. 0 or -errno. */
enum { CARRY_NAME = 320 };
int carry_name(int folder, const char *path, char ret_name[CARRY_NAME], int *ret_fd);
