#pragma once
/* A request that a state service works at. */
#include "proto/envelope.h"
#include "tests/sim/store.h"

struct ask {
    bool used;
    bool orphan; /* its service has died, and the store has yet to write it */
    bool parked; /* a WAIT for an end */
    bool done;   /* by the store */
    uint64_t serial;
    struct proc *proc;
    unsigned line;        /* which broker asked */
    uint32_t epoch;       /* of that broker */
    struct header header; /* no slices */
    char queue[33];
    zmq_msg_t body;
    int64_t until_us;       /* of a WAIT */
    uint32_t status, count; /* the answer */
    zmq_msg_t answer;
};

typedef void ask_fn(struct ask *ask);

/* By verb: does it, and fills in the answer. */
extern ask_fn *const brokers_say[VERB_END];
ask_fn ask_return;
ask_fn ask_wait; /* answers when there is an end to tell, else it is parked */
void ask_refuse(struct ask *ask, uint32_t status);
