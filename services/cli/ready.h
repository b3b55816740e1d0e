#pragma once
/* Asks a system that is starting until it can take tasks: a broker that answers, a state service
 * with its Redis, so many workers, and HTTP. */
#include "services/cli/address.h"

#include <stdint.h>
#include <uv.h>

typedef struct ready ready_t;

/* Called once, with what is missing ("a worker") when until_ms passed, else NULL. */
typedef void ready_fn(void *arg, const char *missing);

struct ready_for {
    const char *brokers;
    uint64_t workers;
    const char *services;       /* that they have together: "ffmpeg,system" */
    const struct address *http; /* of size 0: none */
    int64_t until_ms;           /* on clock_ms() */
};

/* wanted is borrowed. NULL when out of memory. Each look blocks the loop for some 150 ms at most.
 */
ready_t *ready_new(uv_loop_t *loop, const struct ready_for *wanted, ready_fn *fn, void *arg);
/* The timer's handle closes in the loop's next turn, which frees. */
void ready_destroy(ready_t **self_p);
