#pragma once
/* Redis with our functions in it: connected, of a version we speak, and how safely it keeps things.
 * Every operation on records is one call of a function. */
#include "common/settings.h"
#include "services/state/redis.h"

typedef struct store store_t;

struct store_options {
    uv_loop_t *loop;
    const struct settings *settings; /* borrowed for the store's life */
    /* Calls are possible from now on. */
    void (*ready)(void *arg);
    /* No longer, or not at all; it is tried again and again. */
    void (*lost)(void *arg, const char *why);
    void *arg;
};

/* NULL when out of memory. Connects in the background. */
store_t *store_new(const struct store_options *options);
/* Calls under way end UNAVAILABLE. Not from within a callback. */
void store_destroy(store_t **self_p);

/* Begins a call of gantry_<name> in the caller's command; arguments are appended by command_x(). */
void store_begin(const store_t *self, struct command *command, const char *name);
/* The same in a command of the store's own, good until the next of its calls. */
struct command *store_function(store_t *self, const char *name);
/* A command of Redis' own instead, up to its key. */
struct command *store_plain(store_t *self, const char *name, const char *key);

/* 0: done will be called exactly once with 0, STATUS_UNAVAILABLE (it may or may not have run),
 * STATUS_BUSY (Redis is full), or STATUS_INTERNAL (with Redis' error). STATUS_UNAVAILABLE,
 * STATUS_BUSY (too many calls in flight), -ENOMEM: it will not. */
int store_call(store_t *self, struct command *command, redis_done_fn *done, void *arg);
int store_send(store_t *self, struct slice command, redis_done_fn *done, void *arg);

/* Writes the calls of this turn now. */
void store_flush(store_t *self);

bool store_ready(const store_t *self);
/* "memory", "everysec" or "always", as Redis said when it was connected to. */
const char *store_durability(const store_t *self);
size_t store_calls(const store_t *self);
