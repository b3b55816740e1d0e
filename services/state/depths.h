#pragma once
/* How many may wait in a queue: queue.max, or what queue.limits says of it. */
#include "services/state/command.h"

enum { DEPTHS_MAX = 256 }; /* queues with a limit of their own */

typedef struct depths depths_t;

/* limits is "ffmpeg=1000,system=50", or "". 0; -EINVAL: ret_wrong is the part that is no such
 * limit, names a queue again, or is one too many (borrowed from limits); -ENOMEM. */
int depths_new(const char *limits, uint64_t fallback, depths_t **ret_self, struct slice *ret_wrong);
void depths_destroy(depths_t **self_p);

/* The limits of their own, in a call of functions: service and limit of each. */
void depths_put(const depths_t *self, struct command *command);

uint64_t depths_of(const depths_t *self, struct slice service);
