#pragma once
/* An archive being unpacked: what zip and tar say of their members, and where these go. Each call
 * answers as unpack() does, having said why. */
#include "common/pack/self.h"

enum unpack_kind { UNPACK_FILE, UNPACK_FOLDER };

struct unpacking {
    const struct unpack_row *row;
    int archive; /* the file */
    uint64_t archive_bytes;
    int folder;         /* all of it goes beneath this one, where nothing was before */
    uint64_t bytes_max; /* the ratio's, where that is less than row->bytes_max */
    uint64_t entries;   /* files and folders made */
    struct pack_stats stats;
    char *message;
    /* The member at hand. */
    char name[PACK_NAME_MAX + 1]; /* without "." and empty parts */
    int file;                     /* -1: a folder */
    /* The folder that was looked up last: the next member lies there too, most often. */
    char parent_name[PACK_NAME_MAX + 1];
    int parent;
};

/* name as the archive has it. mode: the executable bit alone counts. */
int unpacking_begin(struct unpacking *self, struct slice name, enum unpack_kind kind,
                    unsigned mode);
int unpacking_add(struct unpacking *self, const void *bytes, size_t size);
/* Of the member begun; it must not be called for one that failed. */
int unpacking_end(struct unpacking *self, int64_t modified_s);
/* So much of the archive was read. 0 or -ECANCELED. */
int unpacking_moved(const struct unpacking *self, uint64_t done);
/* Of files that are still open. */
void unpacking_clear(struct unpacking *self);

/* Up to size bytes of the archive from there; fewer only at its end. Negative: -errno. */
int64_t unpacking_read(struct unpacking *self, uint64_t offset, void *ret_bytes, size_t size);

int unpack_zip(struct unpacking *unpacking);
int unpack_tar_gz(struct unpacking *unpacking);
