#pragma once
/* Moves what an engine made to its place in the task's folder. */
#include "services/worker/inputs.h"

struct hand_over {
    const char *work;   /* the attempt's folder */
    const char *folder; /* the task's */
    struct slice files; /* array of [path in work, path in folder]; empty for none */
    int64_t until_ms;   /* clock_ms: from then on another attempt may run and nothing is moved */
    uint64_t bytes_max; /* of the task's folder afterwards, its tmp aside; 0: no limit */
};

/* 0; STATUS_INVALID (a pair is none, or leads out of its folder), STATUS_NOT_FOUND (it was not
 * made), STATUS_TOO_LARGE (nothing is moved then), STATUS_STALE (too late), or -errno; unless 0 the
 * fault says it. Blocks. */
int hand_over(const struct hand_over *row, struct fault *ret_fault);
