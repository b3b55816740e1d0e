#pragma once
/* What the state services keep together: the rules of the stages, as the functions in Redis have
 * them, on plain memory. One store a world, shared by all its state services; every call is atomic.
 * Time is the store's own. */
#include "proto/message.h"

enum { STAGES_MAX = 48, SESSIONS_MAX = 64, SERVICES_KNOWN = 2, ID_MAX = 24 };

enum reuse { REUSE_MISS, REUSE_WAIT, REUSE_HIT };

/* Of an attempt that is under way. */
struct hold {
    bool held;
    bool cancelled;
    bool closed; /* its time of all attempts together is over */
    uint8_t session[WIRE_SESSION_SIZE];
    uint64_t seq; /* of the claim */
};

struct stage {
    bool used;
    char id[ID_MAX];
    char task[32];
    uint8_t submit[WIRE_SUBMIT_TOKEN_SIZE];
    enum stage_state state;
    enum priority priority;
    uint32_t generation, attempt, failures, crashes;
    uint32_t failures_max, crashes_max, retry_ms;
    uint8_t token[WIRE_LEASE_TOKEN_SIZE]; /* of the latest attempt */
    struct hold hold;
    int64_t place;              /* pending: in its queue, the least is next */
    int64_t due_ms;             /* scheduled */
    int64_t close_ms, start_ms; /* the clocks of the whole and of the start; 0: none */
    int64_t created_ms;
    uint32_t accepted;  /* times */
    uint8_t checkpoint; /* 0: none */
};

struct lease {
    bool used;
    uint8_t session[WIRE_SESSION_SIZE];
    int64_t until_ms;
};

struct tally {
    uint64_t accepted, ended[STATE_END], requeues, crashes, retries;
};

struct store {
    struct stage stages[STAGES_MAX];
    unsigned stages_count;
    struct lease leases[SESSIONS_MAX];
    int64_t first_place, last_place;
    int64_t swept_ms;
    struct tally tally;
    unsigned claims;
    uint32_t drained; /* bits of worker numbers */
};

struct store_rules {
    int64_t lease_ms;
    uint32_t failures_max, crashes_max;
    int64_t retry_cap_ms;
    uint32_t queue_max;
    bool keeps; /* what it was, to be put back */
};

extern struct store store;
extern struct store_rules store_rules;

void store_clear(void);
int64_t store_now(void);

/* STATUS_OK, STATUS_BUSY. */
int store_submit(const struct m_task *task, enum priority priority, enum stage_state *ret_state,
                 enum reuse *ret_reuse);
/* Lends up to most stages; answers how many. */
uint32_t store_claim(const struct m_claim *claim, struct slice service, uint32_t most,
                     struct stage *ret_stages[STAGES_MAX]);
/* STATUS_OK or STATUS_STALE. */
int store_finish(const struct m_result *result);
int store_give_back(const struct m_handout *handout);
/* Renews the lease and takes back what the worker never got. Fills the answer's tokens. */
struct beaten {
    uint32_t stale_count, cancel_count;
    uint8_t stale[STAGES_MAX][WIRE_LEASE_TOKEN_SIZE];
    uint8_t cancel[STAGES_MAX][WIRE_LEASE_TOKEN_SIZE];
    bool drain;
};
void store_heartbeat(const struct m_heartbeat *beat, struct beaten *ret_beaten);
/* When the lease of a session ends; 0: it has none. */
int64_t store_lease_until(struct slice session);
void store_bye(struct slice session);
/* NULL: no such stage. Else it is cancelled, or will be, or had ended. */
struct stage *store_cancel(struct slice id);
struct stage *store_find(struct slice id);
/* Each second. */
void store_sweep(void);
/* Fires what is due. Answers when the next is, INT64_MAX: none. */
int64_t store_timers(void);

/* Puts the store back to what it was between one and two snapshots ago, at most. */
void store_keep(void);
void store_roll_back(void);

/* ---- told to the checker and to the state services ---- */
/* A stage came into its state from another. */
void on_store_moved(const struct stage *stage, enum stage_state from);
/* There is work for the service, as the stream of events says. */
void on_store_work(struct slice service);
