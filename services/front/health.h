#pragma once
/* Whether the services behind us answer: asked at most once a second, however many want to know. */
#include "services/front/front.h"

typedef struct health health_t;

/* NULL when out of memory. */
health_t *health_new(struct front *front);
/* The client has ended: nobody waits any more. */
void health_destroy(health_t **self_p);
