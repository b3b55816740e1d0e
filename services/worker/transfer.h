#pragma once
/* A run's files to the object store and back. Progress is told as 0..1 by engine_progress().
 * Nothing is refused here: a call answers 0, a status that is for good (DENIED, NOT_FOUND, INVALID,
 * TOO_LARGE, UNSUPPORTED, MALFORMED), UNAVAILABLE when another attempt may fare better, or -errno,
 * with a sentence; transfer_refuse() makes a verdict of it. */
#include "common/objects/objects.h"
#include "common/pack/pack.h"
#include "services/worker/engine.h"
#include "services/worker/packed.h"

enum {
    TRANSFER_WHY = 512,
    TRANSFER_NAMES_MAX = 1000,   /* an output of all names of a long film would be too large */
    TRANSFER_FILES_MAX = 1000000 /* of a folder uploaded as it is */
};

/* field: the input at fault, should it be one. Answers what the node is to answer. */
int transfer_refuse(engine_t *engine, int result, const char *field, const char why[TRANSFER_WHY]);

/* "image/jpeg" of "x.jpg"; "" when it is not known. */
const char *transfer_type_of(const char *name);

struct transfer_put {
    const char *path;         /* a file or a folder; absolute, or in the attempt's folder */
    const char *bucket;       /* "": objects.bucket, which is made when it is missing */
    const char *key;          /* of the file; of a folder: its files are {key}/{relative} */
    const char *content_type; /* of the file; "": by its name */
    bool compress;            /* a folder: as {key}/{archive} */
    const char *archive;      /* its name without an ending */
    enum pack_format format;
    enum pack_level level;
    bool fall_back; /* as it is, when it cannot be compressed and that does not speak against it;
                       without compress: so it was already */
    bool verify;    /* read back what the store has: it is about to be the only copy */
};
struct transfer_done {
    char url[OBJECTS_URL_MAX]; /* of the file or the archive; of a folder: what all begin with */
    bool compressed;           /* stats are of the archive */
    bool fell_back;
    enum pack_format format;
    struct pack_stats stats;
    uint64_t files, bytes; /* of the original */
    char sha256[65];       /* of the file or the archive */
    struct packed names;   /* array: the first TRANSFER_NAMES_MAX uploaded, relative */
};
void transfer_done_clear(struct transfer_done *self);
/* What an earlier attempt uploaded is not sent again. A folder without a file is INVALID; a link, a
 * socket and what cannot be read fail the whole. ret_done is zeroed by the caller. */
int transfer_put(engine_t *engine, const struct transfer_put *put, struct transfer_done *ret_done,
                 char ret_why[TRANSFER_WHY]);

struct transfer_get {
    const char *source; /* minio://, s3://, the store's own or a foreign http(s) address; or a key
                           of objects.bucket */
    const char *to;     /* in the attempt's folder; must not exist */
    bool folders; /* may be all beneath a prefix: it ends with "/", or no object has the name */
    bool unpack;  /* an archive by its name: to becomes a folder */
};
struct transfer_got {
    bool folder, unpacked;
    uint64_t files, bytes; /* that lie in the attempt's folder now */
    char sha256[65];       /* of the one object or file that was read; "" of a prefix */
    char name[256];        /* the last part of the source's name, fit for a file */
};
int transfer_get(engine_t *engine, const struct transfer_get *get, struct transfer_got *ret_got,
                 char ret_why[TRANSFER_WHY]);
/* The last part of a path, as a file can be called: "download" and its ending when it cannot. */
void transfer_name_of(struct slice path, char ret_name[256]);
