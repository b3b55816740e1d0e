#pragma once
/* The records of a zip: its end, its directory, and the heads of its members. Sizes and places that
 * do not lie in the archive are refused here. */
#include "common/pack/unpacking.h"

struct zip_directory {
    struct unpacking *unpacking;
    uint64_t members;
    uint64_t begin, end; /* where it lies */
    uint64_t at;         /* its next record */
};

struct zip_member {
    char name[PACK_NAME_MAX + 1];
    size_t name_size; /* there may be NULs in it */
    uint64_t packed, size;
    uint64_t head; /* where its own head lies */
    uint32_t crc;
    unsigned method;
    unsigned mode; /* of Unix; 0: none is given */
    int64_t modified_s;
    bool encrypted, folder;
};

/* All answer as unpack() does. */
int zip_directory_open(struct unpacking *unpacking, struct zip_directory *ret_directory);
int zip_directory_next(struct zip_directory *self, struct zip_member *ret_member);
/* Behind the last of its members. */
int zip_directory_close(const struct zip_directory *self);
/* Holds the member's own head against the directory; *ret_offset: its first byte. */
int zip_member_begin(const struct zip_directory *self, const struct zip_member *member,
                     uint64_t *ret_offset);
