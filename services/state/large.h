#pragma once
/* Calls that may take long or have large answers: a few at a time, the others wait their turn.
 * Redis keeps every answer in its memory until it is read, so thousands of such calls at once would
 * be its end. */
#include "services/state/store.h"

typedef struct large large_t;

/* store is borrowed. NULL when out of memory. */
large_t *large_new(store_t *store, size_t at_once);
/* After the store's end, which ends all calls. */
void large_destroy(large_t **self_p);

/* As store_call(); STATUS_BUSY also when as many wait as there may be calls. */
int large_call(large_t *self, struct command *command, redis_done_fn *done, void *arg);
