#pragma once
/* The final inputs of a stage: its references, and the inputs that are not given, are filled in
 * with what other stages of its task wrote. Knows no Redis. */
#include "proto/schema.h"
#include "services/state/refusal.h"

#include <msgpack.h>

/* Another stage of the task. output is a checked map, or empty. */
struct upstream_stage {
    struct slice task;
    int state; /* enum stage_state */
    uint64_t ended_ms;
    struct slice output;
};

/* An input, and the outputs that stand in when it is not given: names with commas between, the
 * best first. */
struct upstream_input {
    struct slice name, outputs;
};

struct upstream {
    struct slice task; /* the stage whose inputs they are */
    const struct upstream_stage *stages;
    size_t stages_count;
    const struct upstream_input *inputs;
    size_t inputs_count;
    size_t most; /* bytes of all inputs */
};

/* Packs the final inputs behind what is in the buffer. input is a checked map, or empty. An input
 * that is not given, or nil, gets the first of its outputs that a completed stage wrote, of several
 * stages that of the latest; without one it stays as it is. 0; STATUS_BUSY: a stage that is
 * referred to has not ended; STATUS_INVALID, STATUS_TOO_LARGE, -ENOMEM: told in why, with the field
 * such as "input.audio_path". What is in the buffer is good with 0 alone. */
int upstream_resolve(const struct upstream *self, struct slice input, msgpack_sbuffer *to,
                     struct refusal *why);
