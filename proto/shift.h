#pragma once
/* What the parts of libgantry's worker share: claims (claim.c), the lease (beat.c), reports of what
 * ended (report.c, result.c). Programs see gantry.h, our own processes worker.h too. */
#include "proto/job.h"
#include "proto/parcel.h"
#include "proto/worker.h"

#include <signal.h>

enum {
    REPORTS_MAX = 32,          /* DONE and RETURN messages under way */
    BEATS_MAX = 4,             /* heartbeats under way */
    UNACKNOWLEDGED_MAX = 4096, /* ended attempts held until their DONE is answered */
    LOST_MS = 40000,           /* longer than a broker holds a request: its answer was lost */
};

struct report {
    struct link link; /* in the worker's idle ones, else none */
    gantry_worker_t *worker;
    struct link jobs; /* in the order of the message */
};

struct beat {
    gantry_worker_t *worker;
    int64_t sent_ms; /* 0: not under way */
};

struct gantry_worker {
    struct gantry_worker_options options;
    void *zmq;
    session_t *session;
    void (*changed)(void *arg, void *socket);
    void *changed_arg;
    int64_t now_ms; /* of the read or tick that runs */

    jobs_t *jobs;
    struct link running;
    struct link lost;       /* still running, their leases are gone */
    struct link ended;      /* to be reported now */
    struct link later;      /* to be reported again, about by due time */
    uint32_t running_count; /* with the lost ones: they use a slot */
    struct report reports[REPORTS_MAX];
    struct link idle_reports;
    uint32_t reports_open;

    uint32_t batch_max, body_max, heartbeat_ms, lease_ms; /* as WELCOME said */
    bool claim_open;
    uint64_t claim_seq; /* of the claim that is open, or the next */
    int64_t claim_due_ms;
    struct beat beats[BEATS_MAX];
    int64_t beat_due_ms;
    int64_t
        renewed_ms; /* when the heartbeat was sent that renewed the lease last; INT64_MIN: none */
    int64_t confirmed_ms; /* the same, of one that the store itself answered */
    bool leased;          /* the last heartbeat on this connection renewed it: claims make sense */
    bool register_open;
    int64_t register_due_ms; /* INT64_MAX: done */
    struct parcel registration;
    int refused; /* the status that REGISTER was refused with for good */

    struct parcel body;
    struct parcel items;
    volatile sig_atomic_t draining; /* until it leaves */
    bool drained; /* by an operator, who may think again: claims nothing, but stays */
    bool left;    /* BYE is said */
    char *brokers;
    char name[129];
    char host[65];
    uint8_t id[WIRE_SESSION_SIZE];
    char services[16][33];
    char services_text[16 * 33]; /* with commas */
    size_t services_count;
    char *services_packed;
};

static inline struct slice worker_id(const gantry_worker_t *self)
{
    return slice_make(self->id, sizeof self->id);
}

/* When to come again after an answer of this status: what it says, or fallback_ms. */
int64_t answer_retry_ms(const struct header *header, struct slice body, int64_t fallback_ms);

/* ---- claim.c ---- */
/* One claim for all free slots when none is open. */
void claim_tick(gantry_worker_t *self);

/* ---- beat.c ---- */
/* Registers and renews what is due; drops what could not be renewed in time. */
void beat_tick(gantry_worker_t *self);
/* A new connection: registers and renews at once. */
void beat_welcomed(gantry_worker_t *self);
/* When beat_tick is due again. */
int64_t beat_due(const gantry_worker_t *self);
/* The lease was renewed so lately, by the store itself, that work may begin. */
bool beat_confirmed(const gantry_worker_t *self);
/* Its lease is gone: its node is told, and whatever ends it goes nowhere. */
void job_lose(gantry_worker_t *self, gantry_job_t *job);
/* Every job of ring is told why; a callback may end any job. */
void jobs_stop(gantry_worker_t *self, enum gantry_stop why);

/* ---- report.c ---- */
/* Sends what has ended, as many to a message as the broker takes. */
void report_tick(gantry_worker_t *self);
int64_t report_due(const gantry_worker_t *self);
/* A running job has a result: its slot is free, and it is reported in the next tick. */
void report_add(gantry_worker_t *self, gantry_job_t *job);

/* ---- result.c ---- */
/* Packs job's failure: the error of a DONE that says so. 0 or -ENOMEM. */
int result_pack_failure(gantry_job_t *job, const struct gantry_end *end);
/* Packs a RETURN with what it keeps. 0 or -ENOMEM. */
int result_pack_return(gantry_job_t *job);
