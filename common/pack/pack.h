#pragma once
/* Folders as one archive, zip (with zip64) or tar.gz, made as a stream: no copy of it lies on this
 * disk. And back, where nothing leaves the folder that it is unpacked into. Names are UTF-8 in any
 * locale: the calling thread's is changed for the call, never the process'. */
#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum pack_format { PACK_ZIP, PACK_TAR_GZ };
enum pack_level { PACK_STORE, PACK_FAST, PACK_DEFAULT, PACK_MAXIMUM };
enum {
    PACK_MESSAGE = 512,
    PACK_NAME_MAX = 2048 /* of a name with its folders; each of these at most 255 */
};

/* "zip", "tar.gz" ("tgz", "targz"); "store", "fast", "default", "maximum". False: none of them. */
bool pack_format_of(const char *text, enum pack_format *ret_format);
bool pack_level_of(const char *text, enum pack_level *ret_level);
/* ".zip", ".tar.gz". */
const char *pack_suffix(enum pack_format format);
/* By a file's name; false: no archive. */
bool pack_format_of_name(const char *name, enum pack_format *ret_format);

struct pack_stats {
    uint64_t files;
    uint64_t original_bytes, packed_bytes;
    double seconds;
    char sha256[65]; /* of the archive that was made; "" of one that was unpacked */
};

struct pack_row {
    const char *folder; /* absolute, no link; its name is not in the archive's names */
    enum pack_format format;
    enum pack_level level;
    int (*sink)(void *arg, const void *bytes, size_t size); /* not 0: passed on */
    void (*moved)(void *arg, uint64_t done,
                  uint64_t total); /* of the original bytes; may be NULL */
    bool (*stop)(void *arg);       /* may be NULL */
    void *arg;
};
/* All regular files beneath, in the order of their names, and folders that are empty: the same
 * folder makes the same archive (a zip has local times too: in the same time zone). 0; STATUS_EMPTY
 * (there is no file in it); STATUS_DENIED (a file cannot be read), STATUS_UNSUPPORTED (a link, a
 * socket, a name that unpack() would refuse: nothing is left out in silence), STATUS_CONFLICT (a
 * file changed meanwhile): ret_message names it; -ECANCELED; -errno; or what the sink answered.
 * What can be told beforehand is told before the sink gets a byte. */
int pack_folder(const struct pack_row *row, struct pack_stats *ret_stats,
                char ret_message[PACK_MESSAGE]);

struct unpack_row {
    const char *archive;           /* a file, zip or tar.gz by its content */
    const char *folder;            /* exists; what is unpacked must not exist in it */
    uint64_t files_max, bytes_max; /* of files and folders; of the files' bytes */
    uint32_t ratio_max;            /* bytes made of one byte of the archive */
    void (*moved)(void *arg, uint64_t done, uint64_t total); /* of the archive's; may be NULL */
    bool (*stop)(void *arg);                                 /* may be NULL */
    void *arg;
};
/* 0; STATUS_DENIED (a member would leave the folder, or is a link or a device), STATUS_TOO_LARGE (a
 * cap; the message has limit and figure), STATUS_MALFORMED (no archive, cut off, a wrong checksum,
 * a name that is no UTF-8), STATUS_UNSUPPORTED (encrypted, or compressed otherwise than by
 * deflate), STATUS_CONFLICT (two members of one name, or it is there); -ECANCELED, -errno. It is
 * unpacked into a folder ".unpack." of its own there and moved out of it when all is well: on
 * failure nothing of it is left. Files are 0644 or 0755 less the umask, and have the times that the
 * archive says. */
int unpack(const struct unpack_row *row, struct pack_stats *ret_stats,
           char ret_message[PACK_MESSAGE]);
