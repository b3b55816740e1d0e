#pragma once
/* What Redis keeps of a stage, read; and the record that is told of it. Knows no Redis. */
#include "common/slice.h"
#include "proto/message.h"

/* A stage's body, borrowed from its bytes. Missing parts are zero or empty. */
struct body {
    uint64_t created_ms;
    struct slice token;
    struct slice input; /* msgpack */
    struct slice owner, priority;
    uint32_t timeout_ms;
    uint32_t failures_max, crashes_max, retry_ms;
    bool external; /* an outside processor has it: it is no stage of ours */
};

/* False: the bytes are no body (somebody else wrote there). */
bool body_read(struct slice bytes, struct body *ret_body);

/* A packed state, head and tail, borrowed: told is without what a body says. False: it is none. */
bool packed_state_read(struct slice bytes, int *ret_state, struct m_stage *ret_told);

struct stage {
    struct slice task;
    int state;            /* enum stage_state */
    struct m_stage told;  /* without its history */
    struct slice history; /* as Redis keeps it */
    bool external;        /* as of its body */
};

/* Everything is borrowed from the four. False: they are no stage. */
bool stage_read(struct slice task, struct slice body, struct slice state, struct slice history,
                struct stage *ret_stage);
/* Adds what `callbacks` has of it, borrowed likewise; empty: nothing. */
void stage_read_callbacks(struct stage *self, struct slice callbacks);

/* The task's status as its stages make it. */
const char *record_status(const struct stage *stages, size_t count);
bool stage_ended(const struct stage *self);

/* Writes the record of a task. False when out of memory. */
bool record_pack(struct slice id, const char *storage_root, const struct stage *stages,
                 size_t count, msgpack_packer *pk);
