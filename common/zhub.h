#pragma once
/* ZeroMQ sockets as sources of events on a libuv loop.
 *
 * ZMQ_FD is edge-triggered and only says "look", and any call on a socket, even a receive that
 * finds nothing, can swallow the edge of a message coming in or of a connection made or lost. So
 * one hub per loop looks at all its sockets just before the loop sleeps, round robin and bounded;
 * when the bound is met it keeps the loop awake instead of sleeping on a spent edge. Timers, Redis
 * and HTTP callbacks run before that look, so what they send is covered too. A look costs system
 * calls: whose owner says when the socket was used is looked at only then, and when its descriptor
 * says so. */
#include <stdbool.h>
#include <uv.h>

typedef struct zhub zhub_t;
typedef struct zsource zsource_t;

/* Reads and handles one message without blocking. False: nothing was there. */
typedef bool zsource_read_fn(void *arg);
/* Called once at the end of a turn in which read answered true or the socket's state changed
 * (connected, lost): the place to flush what was gathered and to look after the connection. */
typedef void zsource_drained_fn(void *arg);

/* NULL when out of memory. Borrows the loop. */
zhub_t *zhub_new(uv_loop_t *loop);
/* Ends what sources are left; their pointers are void then. Memory goes in the loop's next turn:
 * run it once more before closing.
 */
void zhub_destroy(zhub_t **self_p);

/* NULL when out of memory or when the socket is none. Borrows the socket, which outlives the
 * source. drained may be NULL. */
zsource_t *zhub_add(zhub_t *self, void *socket, zsource_read_fn *read, zsource_drained_fn *drained,
                    void *arg);
/* From now on zsource_used() is called after every call on the socket outside of read that may take
 * what its descriptor would tell: a send, a question for its events. */
void zsource_told(zsource_t *self);
void zsource_used(zsource_t *self);
/* Stops at once; may be called from within read or drained. The socket may be closed right after.
 */
void zsource_destroy(zsource_t **self_p);
