#pragma once
/* What a node is, as a row: its declaration and what runs it. One table a service; a new node is a
 * row (and an engine's function, see engine.h). The rows feed REGISTER, the checks of inputs and
 * the documentation. */
#include "common/slice.h"
#include "proto/gantry.h"

#include <msgpack.h>

/* For struct gantry_input's fallback: a literal of msgpack, such as NODE_PACKED("\x64") for 100. */
#define NODE_PACKED(literal)           \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

/* Runs within the worker, at once: only for what can neither block nor fail half-way. input is the
 * map with defaults applied; packs exactly one map. 0 or a status. */
typedef int node_inline_fn(struct slice input, msgpack_packer *output);

struct shop_row; /* run.h */

/* A node whose jobs wait within the worker's loop for somebody else and compute nothing: they get
 * neither a folder nor a process. */
struct node_async {
    /* What its jobs of this process share; shop is copied. 0, or -errno after logging why. */
    int (*open)(const struct shop_row *shop, void **ret_shared);
    /* All its jobs were stopped or have ended; memory may go in the loop's next turns. */
    void (*close)(void *shared);
    /* Ends the job by a gantry_job_...() and calls the shop's ended, now or later. input is the map
     * with defaults applied, borrowed for the call. The job's user pointer is the node's. */
    void (*begin)(void *shared, gantry_job_t *job, struct slice input);
    /* Ends it so now. */
    void (*stop)(void *shared, gantry_job_t *job, enum gantry_stop why);
};

struct node_row {
    const char *name; /* "service.method" */
    const char *doc;  /* one line */
    const struct gantry_input *inputs;
    size_t inputs_count;
    const char *const *outputs; /* ends with NULL */
    const char *const *key;     /* outputs a reuse hit must have; ends with NULL */
    uint32_t timeout_ms;        /* limit of one attempt; 0: none */
    uint32_t failures_max;      /* failures after which it has failed for good; 0: the setting's */
    uint32_t crashes_max;       /* lost leases after which it is quarantined; 0: the setting's */
    uint32_t retry_ms; /* first wait before another attempt, doubled each time; 0: the formula */
    bool space;        /* it writes files: refused while the disk is below its low mark */
    /* At most one of these; none: the program gantry-engine, called with the node's name. */
    node_inline_fn *run;
    const struct node_async *async;
};

struct node_table {
    const char *service;
    const struct node_row *rows;
    size_t count;
};

/* One a file in nodes/. */
extern const struct node_table nodes_audio_separator; /* nodes/audio_separator.c */
extern const struct node_table nodes_ffmpeg;          /* nodes/ffmpeg.c */
extern const struct node_table nodes_storage;         /* nodes/storage.c */
extern const struct node_table nodes_system;          /* nodes/system.c */
extern const struct node_table nodes_video;           /* nodes/video.c */

/* The table of a service, or NULL. */
const struct node_table *nodes_of_service(struct slice service);
/* The names of all services, with ", " between; answers text, "" when they do not fit. */
const char *nodes_services(char *text, size_t size);
/* The row of "service.method", or NULL. */
const struct node_row *node_find(struct slice name);
