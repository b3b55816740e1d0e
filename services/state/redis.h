#pragma once
/* One connection to Redis on the loop: connects and reconnects with back-off, authenticates,
 * selects the database, and brings every call to exactly one end. Knows nothing of what is called.
 */
#include "services/state/command.h"

#include <hiredis/hiredis.h>
#include <uv.h>

typedef struct redis redis_t;

/* status 0: reply is the answer, borrowed. STATUS_UNAVAILABLE without a reply: the connection ended
 * and the call may or may not have run. Else what judge said, with the error reply. May call
 * redis_call(). */
typedef void redis_done_fn(void *arg, int status, const redisReply *reply);

struct redis_options {
    uv_loop_t *loop;
    const char *addr;     /* "host:port", or a path; borrowed for the redis' life, as password is */
    const char *password; /* "" for none */
    int64_t db;
    int64_t timeout_ms; /* nothing answered for so long, of calls or of a connect, ends the
                           connection */
    size_t calls_max;
    size_t bytes_max; /* of calls in flight */
    void (*connected)(void *arg);
    /* Also when connecting failed. What the connection still owed ends UNAVAILABLE before the
     * retry. */
    void (*lost)(void *arg, const char *why);
    /* What an error reply means: a positive status. */
    int (*judge)(void *arg, struct slice error);
    void *arg;
};

/* Connects in the loop's next turn. NULL when out of memory. */
redis_t *redis_new(const struct redis_options *options);
/* Calls under way end with UNAVAILABLE, lost is not called. Not from within a callback. */
void redis_destroy(redis_t **self_p);

/* 0: done will be called once, from the loop or from redis_drop(). STATUS_UNAVAILABLE (not
 * connected), STATUS_BUSY (calls_max or bytes_max), -ENOMEM: it will not. */
int redis_call(redis_t *self, struct slice command, redis_done_fn *done, void *arg);

/* Writes calls that were made in this turn of the loop now, instead of just before it sleeps. */
void redis_flush(redis_t *self);
/* Ends the connection and tries again after a while. */
void redis_drop(redis_t *self, const char *why);
size_t redis_calls(const redis_t *self);
