#pragma once
/* The attempts a worker holds: a pool of them, found by lease token. Knows no socket and no clock.
 */
#include "proto/gantry.h"
#include "proto/list.h"
#include "proto/message.h"

enum job_phase {
    JOB_FREE,
    JOB_RUNNING, /* handed to its node */
    JOB_ENDED,   /* has a result that is to be acknowledged */
};

struct room {
    char *data;
    size_t size;
};

struct gantry_job {
    struct link link;        /* in one of the worker's rings, or a report's */
    struct gantry_job *next; /* of its bucket, or of the free ones */
    gantry_worker_t *worker;
    const struct gantry_node *node;
    enum job_phase phase;
    bool lost;      /* running on, but its lease is gone: nothing of it is sent */
    bool cancelled; /* was told so */
    bool alone;     /* a message with others was refused: goes by itself */
    bool demoted;   /* its result was refused: it says so instead */
    uint32_t verb;  /* that reports it: DONE or RETURN */
    uint32_t attempt;
    uint32_t failures;
    uint32_t crashes;
    uint32_t timeout_ms;
    bool owned;
    int64_t due_ms; /* when to report again */
    double progress;
    void *user;
    uint8_t token[WIRE_LEASE_TOKEN_SIZE];
    const char *id;
    const char *task;
    struct slice input;
    struct slice checkpoint; /* of an earlier attempt */
    struct slice kept;       /* for the next one; empty: as before */
    struct slice result;     /* packed, one item of DONE or RETURN */
    struct room given;       /* where id, task, input and checkpoint lie */
    struct room made;        /* where the result lies */
    struct room saved;       /* where kept lies */
};

/* The first of a ring of jobs, or NULL. */
static inline gantry_job_t *job_first(const struct link *ring)
{
    struct link *first = link_first(ring);
    return first ? link_owner(first, gantry_job_t, link) : NULL;
}

typedef struct jobs jobs_t;

/* At most max at once. NULL when out of memory. */
jobs_t *jobs_new(size_t max);
/* Frees all, whatever phase they are in. */
void jobs_destroy(jobs_t **self_p);
/* A job with the handout's texts and input copied, JOB_RUNNING and in no ring. NULL: max is reached
 * or memory is out. */
gantry_job_t *jobs_add(jobs_t *self, const struct m_handout *handout);
void jobs_remove(jobs_t *self, gantry_job_t *job);
/* NULL when no such token is held. */
gantry_job_t *jobs_find(jobs_t *self, struct slice token);
/* Its token is held no longer: not found any more, but the job is still there. */
void jobs_forget(jobs_t *self, gantry_job_t *job);
/* All there are, found or not. */
size_t jobs_count(const jobs_t *self);
/* Keeps a copy of the packed result. 0 or -ENOMEM. */
int job_keep_result(gantry_job_t *job, struct slice result);
