#pragma once
/* Objects in a store that speaks S3 (MinIO, OpenStack Swift, AWS): requests are signed by us
 * (Signature Version 4), carried by libcurl. Calls block; what is large moves in parts, several at
 * once. One objects_t serves one thread. No redirect is followed and no proxy used. */
#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct objects objects_t;
typedef struct objects_writer objects_writer_t;

enum {
    OBJECTS_KEY_MAX = 1024,
    OBJECTS_BUCKET_MAX = 63,
    OBJECTS_URL_MAX = 8192, /* of a key of the longest kind, signed */
    OBJECTS_ETAG_MAX = 96,
    OBJECTS_UPLOAD_MAX = 1024,
    OBJECTS_PART_LEAST = 5 << 20,
    OBJECTS_PARTS_MAX = 10000
};

/* All borrowed until objects_new() has answered. */
struct objects_row {
    const char *endpoint; /* "http://127.0.0.1:9000", "https://..."; no path */
    const char *region;
    const char *access_key, *secret_key;
    const char *ca_file; /* "": the system's */
    int64_t timeout_ms;  /* a request of which no byte moves for so long has failed */
    uint32_t tries;      /* of one request, with growing gaps */
    uint64_t part_bytes;
    uint32_t parallel; /* parts at once */
};

/* What a long call asks and tells on its way; both may be NULL. */
struct objects_watch {
    bool (*stop)(void *arg);                  /* true: the call ends with -ECANCELED */
    void (*moved)(void *arg, uint64_t bytes); /* so many more went over the wire, or did before */
    void *arg;
};

struct object_info {
    uint64_t bytes;
    int64_t modified_ms;         /* wall clock; 0: unknown */
    char etag[OBJECTS_ETAG_MAX]; /* without quotes */
    char sha256[65]; /* hex, as it was written with it or as it was computed; "" unknown */
    char content_type[128];
};

/* 0; STATUS_INVALID: endpoint, keys or numbers that cannot be; -ENOMEM. */
int objects_new(const struct objects_row *row, objects_t **ret_objects);
void objects_destroy(objects_t **self_p);
/* What the last call that did not answer 0 says of it, a sentence; "" when it has nothing to say.
 * Calls answer 0; STATUS_NOT_FOUND; STATUS_DENIED (403); STATUS_INVALID (a bucket or key that
 * cannot be, 400); STATUS_CONFLICT (412, 409: it is another by now); STATUS_UNAVAILABLE
 * (unreachable, 5xx, no answer: all tries are used up); STATUS_MALFORMED (an answer that is none);
 * STATUS_TOO_LARGE (more than OBJECTS_PARTS_MAX parts); STATUS_UNSUPPORTED (501); -ECANCELED;
 * -EDEADLK (called from within a sink of the same store); -errno of our own. */
const char *objects_error(const objects_t *self);
/* The same for who need not know where the store is: without its address, and of a link to it that
 * failed only in which way. */
const char *objects_error_outside(const objects_t *self);

/* Made when it is missing. */
int objects_make_bucket(objects_t *self, const char *bucket);
int objects_head(objects_t *self, const char *bucket, const char *key,
                 struct object_info *ret_info);
/* Missing is 0. */
int objects_delete(objects_t *self, const char *bucket, const char *key);
/* All whose key begins with prefix, which must not be empty; unfinished uploads too. *ret_count:
 * how many were there. */
int objects_delete_prefix(objects_t *self, const char *bucket, const char *prefix,
                          uint64_t *ret_count);
/* Those whose key begins with prefix, in order of their keys. each answers 0 to go on. */
typedef int objects_each_fn(void *arg, const char *key, const struct object_info *info);
int objects_list(objects_t *self, const char *bucket, const char *prefix, objects_each_fn *each,
                 void *arg);

/* A write: bytes are pushed, parts leave as they fill. Small ones are one PUT. */
struct objects_put {
    const char *bucket, *key;
    const char *content_type; /* "" or NULL: application/octet-stream */
    /* An upload that was cut off goes on: parts that the store has with the same bytes are not sent
     * again. "" or NULL: none; one that is gone is begun anew. */
    const char *resume;
    /* An upload of parts has begun: its id, to be kept for resume. May be NULL. */
    void (*began)(void *arg, const char *upload);
    struct objects_watch watch; /* watch.arg is began's too */
};
/* The id of an upload of this key that was begun and neither ended nor given up: of several the one
 * that the store names last. NOT_FOUND: none. For who was killed before it could keep it. */
int objects_unfinished(objects_t *self, const char *bucket, const char *key,
                       char ret_upload[OBJECTS_UPLOAD_MAX]);
int objects_writer_new(objects_t *objects, const struct objects_put *put,
                       objects_writer_t **ret_writer);
int objects_write(objects_writer_t *self, const void *bytes, size_t size);
/* The last byte was written: the object is there, or it is not. Its size, etag and the SHA-256 of
 * its bytes, as we computed them. Ends the writer in any case; what failed can be resumed. */
int objects_writer_end(objects_writer_t **self_p, struct object_info *ret_info);
/* Gives it up; keep: parts stay in the store for resume. */
void objects_writer_abort(objects_writer_t **self_p, bool keep);
/* A file, through a writer. */
int objects_put_file(objects_t *self, const struct objects_put *put, const char *path,
                     struct object_info *ret_info);
/* Reads back what the store has: size and checksum (its etag where that is one of the bytes, else
 * all of them are read). 0, or STATUS_CONFLICT: it is not what was written. */
int objects_verify(objects_t *self, const char *bucket, const char *key,
                   const struct object_info *wanted, const struct objects_watch *watch);

/* A read; broken off it goes on where it was, if the object is still the same. */
struct objects_get {
    const char *bucket, *key;
    uint64_t offset;
    uint64_t bytes; /* 0: to the end */
    /* not 0: passed on. May not call the same objects_t. */
    int (*sink)(void *arg, const void *bytes, size_t size);
    void *arg;
    struct objects_watch watch;
};
int objects_read(objects_t *self, const struct objects_get *get, struct object_info *ret_info);
/* The whole into a file that must not exist; sha256 of info is that of what was read. On failure
 * nothing of it is left. */
int objects_get_file(objects_t *self, const char *bucket, const char *key, const char *path,
                     const struct objects_watch *watch, struct object_info *ret_info);

/* An address by which anybody may make this one request for so many seconds. */
struct objects_link {
    const char *method;
    const char *endpoint; /* as clients reach the store; "": as we do */
    const char *bucket, *key;
    uint32_t seconds; /* 1..604800 */
};
int objects_presign(const objects_t *self, const struct objects_link *link,
                    char ret_url[OBJECTS_URL_MAX]);
/* "{endpoint}/{bucket}/{key}": what stands in a *_minio_url. STATUS_INVALID or 0. */
int objects_url(const objects_t *self, const char *bucket, const char *key,
                char ret_url[OBJECTS_URL_MAX]);
/* Which object a text names: minio://bucket/key, s3://bucket/key, {endpoint}/bucket/key (query
 * ignored, path decoded), or a key of bucket. 0; STATUS_INVALID; STATUS_UNSUPPORTED: an address of
 * another server. */
int objects_locate(const objects_t *self, const char *bucket, struct slice text,
                   char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1]);
/* [a-z0-9][a-z0-9.-]{1,61}[a-z0-9] and no "..". */
bool objects_bucket_valid(const char *bucket);
/* 1..1024 bytes of UTF-8, no control characters, no "//", no leading "/", no segment "." or "..".
 */
bool objects_key_valid(const char *key);
