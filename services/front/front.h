#pragma once
/* gantry-front: HTTP in front of the brokers. A client like any other: it knows no Redis, and of
 * files only those that are uploaded and downloaded over it. */
#include "common/program.h"
#include "proto/client_loop.h"

struct health;
struct metrics;
struct files;

/* What handlers share; lives as long as any request. */
struct front {
    const struct settings *settings;
    program_t *program;
    gantry_client_t *client;          /* calls are begun on it, never waited for; NULL at the end */
    void (*wake)(struct front *self); /* after something was begun on the client in this turn */
    struct health *health;            /* what is known of the others */
    struct metrics *metrics;          /* and of their figures */
    struct files *files;              /* what /v1/files needs */
    uv_loop_t *loop;
    size_t calls; /* in the pool; who ends the last one calls */
    void (*rest)(struct front *self);
    size_t bodies; /* room that all requests have for their bodies: at most front.bodies_bytes */
    bool stopping; /* requests under way are answered, streams are ended */
};

extern const struct program_row front_program;
