#pragma once
/* Bytes on their way into a file: gathered in one block while the other is written, off the loop.
 * So no more than two blocks of a peer's bytes are ever held. */
#include "services/front/pool.h"

#include "common/slice.h"

#include <openssl/evp.h>

enum { SPOOL_BLOCK = 512 << 10, SPOOL_EAGER = 128 << 10 };

struct spool {
    struct front *front;
    int file;
    uint64_t at;     /* in the file, where the next write goes */
    int error;       /* -errno of the first write that failed */
    bool writing;    /* a write is under way: nothing else may be touched by others */
    EVP_MD_CTX *sum; /* of all that is written; NULL: none is wanted */
    size_t filled, full;
    char *fill, *flush; /* of SPOOL_BLOCK each */
    void (*moved)(void *arg);
    void *arg;
    struct pool_call call;
};

/* moved: a write has ended. file and sum stay the caller's. 0 or -ENOMEM. */
int spool_init(struct spool *self, struct front *front, int file, uint64_t at, EVP_MD_CTX *sum);
/* Not while it writes. */
void spool_clear(struct spool *self);
size_t spool_room(const struct spool *self);
/* At most spool_room(). */
void spool_put(struct spool *self, struct slice bytes);
/* Nothing more is waited for. True: all is written, or a write has failed; else moved() comes. */
bool spool_flush(struct spool *self);
