#pragma once
/* What must hold, whatever breaks. Orders are the tasks of a world: what clients want done, how the
 * jobs behave, and what has become of them. */
#include "tests/sim/store.h"
#include "tests/sim/world.h"

enum { ORDERS_MAX = 48, ACTS_MAX = 4, OUTCOMES_MAX = 64, ORDER_CLIENTS = 2 };

/* How a run of a job goes. */
enum act {
    ACT_DONE,
    ACT_SKIP,
    ACT_FAIL,
    ACT_RETRY,
    ACT_SNOOZE,
    ACT_RETURN,
    ACT_CRASH, /* takes its worker with it */
    ACT_HANG,  /* until it is stopped, or for a long while */
    ACTS
};

struct behaviour {
    enum act act;
    int64_t for_us;
};

struct outcome {
    uint8_t token[WIRE_LEASE_TOKEN_SIZE];
    const char *state; /* as DONE says it; NULL: RETURN */
    bool final;        /* kept by its worker until it is written */
    const struct proc *worker;
    unsigned life, accepted; /* of the worker; how often the order was accepted by then */
};

struct order {
    char id[ID_MAX];
    const char *task;
    int priority; /* enum gantry_priority */
    int64_t delay_ms, start_ms, close_ms;
    uint32_t failures_max, retry_ms;
    struct behaviour acts[ACTS_MAX]; /* of its runs, in turn; then all goes well */
    unsigned runs;
    unsigned alive;           /* runs that are executed right now */
    bool receipt;             /* a client was told that it is kept */
    bool cancelled;           /* an operator asked for it */
    unsigned accepted, ended; /* times the store took it, and it came to an end */
    unsigned outcomes_count;
    int64_t moved_us;                      /* the store changed it last */
    unsigned crashes, lost_count;          /* of outcomes: those before it count no more */
    struct outcome outcomes[OUTCOMES_MAX]; /* what workers really said, latest last, as a ring */
};

struct check {
    struct order orders[ORDERS_MAX];
    unsigned orders_count;
    bool quiet; /* nothing breaks in this world: nothing may be done twice */
    bool rolled_back;
    uint64_t begun, answered; /* calls of clients */
};

extern struct check check;

void check_clear(void);
struct order *order_new(void);
struct order *order_of(struct slice id);

/* The job of order ended so on a worker. */
void check_outcome(struct order *order, const struct outcome *outcome);
/* It runs under this token, and the store has confirmed the worker's lease since sent_us: then it
 * has told of what is held no more. */
void check_held(const struct order *order, struct slice token, int64_t sent_us);
/* order begins to run: no worker with a good lease still has a result of it. */
void check_kept(const struct order *order);
/* The store is about to take this result. */
void check_result(const struct stage *stage, const struct m_result *result);
/* After every change of the store: accepted = ended + scheduled + pending + running. */
void check_ledger(void);
/* A client was told the end of an order. */
void check_told(const struct order *order, struct slice state);
/* The store is what it was a moment ago. */
void check_rolled_back(void);
/* An operator was told what its cancel made of an order. */
void check_cancelled(struct order *order, struct slice state);
/* Every accepted order has ended. */
bool check_settled(void);
/* Notes what has not ended. */
void check_note_open(void);
/* Once all is over. */
void check_end(void);
