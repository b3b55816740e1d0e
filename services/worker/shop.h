#pragma once
/* The inside of run.h: what runs and their shop know of each other. */
#include "services/worker/child.h"
#include "services/worker/packed.h"
#include "services/worker/run.h"
#include "services/worker/verdict.h"

#include <limits.h>

typedef struct run run_t;

struct shop {
    struct shop_row row;        /* programs is not kept */
    char *launcher;             /* path of gantry-exec */
    char *engine;               /* path of gantry-engine */
    char *roots;                /* where inputs may lie beside the task's folder */
    struct packed settings;     /* a map, as engines get it */
    int64_t until_ms;           /* engines may run until then */
    int64_t confirmed_until_ms; /* and what they made be handed over */
    unsigned troubles;          /* of this machine, in a row */
    run_t *runs;
    size_t holders; /* its owner and every run; 0 frees */
};

struct run {
    run_t *next; /* in the shop's */
    shop_t *shop;
    gantry_job_t *job; /* NULL: it is nobody's any more */
    const struct node_row *row;
    char *id;
    uint32_t attempt;
    struct packed
        given; /* the input as it came: the thread may need it longer than the job lives */
    struct packed inputs; /* as the engine gets it, and behind it: */
    struct packed before; /* what is known of earlier attempts */
    char folder[PATH_MAX];
    char work[PATH_MAX]; /* the attempt's folder; "" until it is made */
    uv_work_t task;
    uv_timer_t limit;
    child_t *child;
    struct messages messages;
    struct verdict_facts facts;
    enum verdict_kind kind;
    struct fault fault;
    struct child_end end;
    int64_t begin_ms; /* the engine's; 0: it was never run */
    int64_t wall_ms;
    int64_t until_ms; /* the shop's confirmed one, when the hand-over began */
    bool waiting;     /* made all, and waits until it may be handed over */
};

/* NULL when out of memory. */
run_t *run_new(gantry_job_t *job, const struct shop_node *node);
/* Kills its engine. Not while a thread has it. */
void run_destroy(run_t **self_p);
/* Tells the broker its end, frees it and says so to the shop's owner. Its folder is closed. */
void run_finish(run_t **self_p);
/* It may be handed over. */
void run_go_on(run_t *self);
