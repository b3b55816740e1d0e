#pragma once
/* Asks a system that is starting until it can take tasks: a broker that answers, a state service
 * with its Redis, and so many workers. */
#include <stdint.h>
#include <uv.h>

typedef struct ready ready_t;

/* Called once, with what is missing ("a worker") when until_ms passed, else NULL. */
typedef void ready_fn(void *arg, const char *missing);

/* until_ms on clock_ms(). NULL when out of memory. Each look blocks the loop for some 100 ms at
 * most. */
ready_t *ready_new(uv_loop_t *loop, const char *brokers, uint64_t workers, int64_t until_ms,
                   ready_fn *fn, void *arg);
/* The timer's handle closes in the loop's next turn, which frees. */
void ready_destroy(ready_t **self_p);
