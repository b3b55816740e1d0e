#pragma once
/* What all deliveries of a process share: the client that reads records, and what posts. Both are
 * opened for the first delivery: a worker that is never given one has neither. */
#include "services/worker/callback_http.h"
#include "services/worker/run.h"

typedef struct callbacks callbacks_t;

/* struct node_async's open and close. The settings of callbacks are looked at here. */
int callbacks_open(const struct shop_row *shop, void **ret_shared);
void callbacks_close(void *shared);

const struct shop_row *callbacks_shop(const callbacks_t *self);
/* NULL when out of memory. */
poster_t *callbacks_poster(callbacks_t *self);
/* gantry_call_begin() of the client's: what it answers, or -ENOMEM. Calls that are open at the end
 * are answered UNAVAILABLE by callbacks_close(). */
int callbacks_call(callbacks_t *self, uint32_t verb, struct slice body, int64_t timeout_ms,
                   gantry_called_fn *done, void *arg);
