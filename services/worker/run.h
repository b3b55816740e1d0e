#pragma once
/* One job from its handout to its end: folder, inputs, engine, hand-over, verdict; and the shop,
 * which is what all runs of a worker share. */
#include "common/settings.h"
#include "common/zhub.h"
#include "services/worker/node.h"

#include <uv.h>

typedef struct shop shop_t;

struct shop_row {
    uv_loop_t *loop;
    zhub_t *hub;
    const struct settings *settings; /* borrowed, also by what still closes after shop_destroy */
    const char *programs;            /* folder of gantry-exec and gantry-engine */
    void (*ended)(void *arg);        /* a job has ended: there is something to report */
    void (*rest)(void *arg,
                 int64_t rest_ms); /* this machine cannot run tasks: claim none so long */
    void *arg;
};

/* NULL when out of memory. */
shop_t *shop_new(const struct shop_row *row);
/* Kills what runs and touches no job any more. Memory goes in the loop's next turns. */
void shop_destroy(shop_t **self_p);
/* The leases were renewed: engines may run until the first time, and what they made may be handed
 * over until the second, both by clock_ms. */
void shop_renew(shop_t *self, int64_t until_ms, int64_t confirmed_until_ms);

/* A gantry_run_fn and a gantry_stop_fn, for which arg is one of these. */
struct shop_node {
    shop_t *shop;
    const struct node_row *row;
    void *shared; /* of a row with async: what open answered */
};
void run_begin(gantry_job_t *job, void *arg);
void run_stop(gantry_job_t *job, enum gantry_stop why, void *arg);
