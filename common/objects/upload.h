#pragma once
/* An upload of parts at the store: begun or found again, completed, given up. Inside this room
 * only. */
#include "common/objects/digest.h"
#include "common/objects/store.h"

struct part {
    uint64_t bytes;
    unsigned char md5[DIGEST_MD5];
    bool there;                  /* in the store: with md5 and bytes as they are here */
    char etag[OBJECTS_ETAG_MAX]; /* as the store called it */
};

struct upload {
    objects_t *objects;
    const char *bucket, *key, *content_type;
    char id[OBJECTS_UPLOAD_MAX];
    struct part *parts; /* part number n is parts[n - 1] */
    size_t room;
    bool opaque; /* the store's etags are not those of the bytes: it encrypts */
};

void upload_clear(struct upload *self);
/* "": a new one; else the parts that the one of this id has, or, when it is gone, a new one. */
int upload_open(struct upload *self, const char *resume, const struct objects_watch *watch);
/* Part number, 1..OBJECTS_PARTS_MAX; NULL when out of memory. */
struct part *upload_part(struct upload *self, uint32_t number);
/* What part number takes to be sent; fills text for it. */
struct ask upload_ask(const struct upload *self, char text[16], uint32_t number);
/* Makes the object of parts 1..count, checks its etag and tells it. */
int upload_complete(struct upload *self, uint32_t count, const struct objects_watch *watch,
                    char ret_etag[OBJECTS_ETAG_MAX]);
int upload_abort(struct upload *self);

/* Is this the answer to bytes with this MD5? An etag that is none of the bytes: *opaque is set. */
int etag_check(objects_t *objects, const struct exchange *answered,
               const unsigned char md5[DIGEST_MD5], bool *opaque);
