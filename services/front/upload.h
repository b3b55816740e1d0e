#pragma once
/* An upload under way: the bytes of one request on their way to the shared disk, and, once a file
 * is whole, the task that pushes it into the store. What differs between a form and tus is its
 * kind. */
#include "services/front/files.h"
#include "services/front/push.h"
#include "services/front/spool.h"
#include "services/front/tus_head.h"
#include "services/front/upload_disk.h"

struct upload;

struct upload_kind {
    /* The file is open, about filled. False: it was refused. */
    bool (*opened)(struct upload *self);
    /* Takes of the body what there is room for in the spool; may refuse. */
    size_t (*take)(struct upload *self, struct slice bytes);
    /* The body is all there. False: it was refused. */
    bool (*whole)(struct upload *self);
    /* What was asked for is done; waits: with the stage that has completed, else NULL. Answers. */
    void (*done)(struct upload *self, const struct gantry_stage *stage);
    void (*free)(void *own);
    bool waits;
};

enum upload_step { UPLOAD_OPENING, UPLOAD_TAKING, UPLOAD_FLUSHING, UPLOAD_CLOSING, UPLOAD_PUSHING };

struct upload {
    struct front *front;
    request_t *request; /* NULL once it is answered */
    const struct upload_kind *kind;
    void *own; /* the kind's */
    struct upload_about about;
    enum upload_step step;
    bool make;     /* it is new; else it is gone on with */
    bool spooling; /* spool is there */
    bool moving;   /* counted by files_enter */
    bool cut;      /* the peer has gone */
    bool refused;  /* to be told once its file is closed, so that it can be gone on with at once */
    int refused_http;
    int64_t refused_ms; /* to come again after */
    char refused_text[1024];
    bool good;  /* its body came whole, and nothing was wrong */
    bool ready; /* the file is whole and at its place */
    int file;
    uint64_t start; /* where this request's bytes begin */
    uint64_t came;  /* of them */
    EVP_MD_CTX *sum;
    struct tus_checksum checksum; /* size 0: none was given */
    struct spool spool;
    struct pool_call call;
    int result; /* of what ran in the pool */
};

/* Takes own. about->id is set; the rest too when it is new. */
void upload_begin(request_t *request, const struct upload_kind *kind, bool make,
                  const struct upload_about *about, void *own);
/* The upload ends: what is not resumable goes. refused is set. */
void upload_refuse(struct upload *self, int http, int64_t retry_after_ms, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Room is checked, the disk too: false when it was refused for that. */
bool upload_put(struct upload *self, struct slice bytes);
/* The request's answer is its own matter now; NULL when there is nobody. */
request_t *upload_answer(struct upload *self);
