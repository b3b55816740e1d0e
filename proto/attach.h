#pragma once
/* A session on a libuv loop: its socket in the hub, its tick on a timer. */
#include "common/zhub.h"

typedef struct attach attach_t;

struct attach_row {
    bool (*read)(void *arg, int64_t now_ms);    /* session_read and its kin */
    int64_t (*tick)(void *arg, int64_t now_ms); /* answers when again */
    void (*drained)(void *arg);                 /* may be NULL */
    void *arg;
    bool told; /* attach_used() is called whenever session_events.used is */
};

/* NULL when out of memory. Ticks in the loop's next turn. */
attach_t *attach_new(zhub_t *hub, uv_loop_t *loop, const struct attach_row *row);
/* Closes its handles; memory goes in the loop's next turns. */
void attach_destroy(attach_t **self_p);
/* To be called from socket_changed: NULL takes the old one out only. */
void attach_socket(attach_t *self, void *socket);
/* See zsource_used(). */
void attach_used(attach_t *self);
/* Something was asked or is due earlier than the last tick said: tick again in this turn. */
void attach_wake(attach_t *self);
