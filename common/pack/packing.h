#pragma once
/* An archive being made: libarchive's part of it. */
#include "common/pack/self.h"

#include <archive.h>
#include <archive_entry.h>
#include <openssl/types.h>
#include <sys/stat.h>
#define ZLIB_CONST /* it only reads what it is given */
#include <zlib.h>

struct packing {
    const struct pack_row *row;
    int folder;
    struct archive *archive;
    struct archive_entry *entry;
    EVP_MD_CTX *digest;
    int sunk; /* what the sink answered, when it was not 0: it gets no more */
    uint64_t done, total;
    struct pack_stats stats;
    uint8_t *buffer;
    z_stream gzip;     /* of a tar.gz, as squeezed is, where its output comes */
    uint8_t *squeezed; /* NULL: of a zip */
    char *message;
};

/* 0, what the sink answered, or -errno with a sentence. */
int packing_start(struct packing *self);
int packing_begin(struct packing *self, const char *name, const struct stat *info);
/* size bytes of buffer, the next ones of the member. */
int packing_add(struct packing *self, size_t size);
int packing_end(struct packing *self);
int packing_finish(struct packing *self);
/* In any case. */
void packing_clear(struct packing *self);
