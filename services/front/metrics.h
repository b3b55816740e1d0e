#pragma once
/* GET /metrics: figures of the disk and of the ledger as Prometheus reads them. The brokers are
 * asked at most once a second, however many want to know. */
#include "services/front/front.h"

typedef struct metrics metrics_t;

/* NULL when out of memory. */
metrics_t *metrics_new(struct front *front);
/* The client has ended: nobody waits any more. */
void metrics_destroy(metrics_t **self_p);
