#pragma once
/* Large bodies that ZeroMQ holds for a peer which has not read them yet: its queues count messages
 * and not bytes, so a peer that asks and never reads would cost all memory. Bytes are given back by
 * ZeroMQ's own thread. */
#include <stdatomic.h>
#include <stdbool.h>
#include <zmq.h>

enum {
    UNREAD_LEAST = 4096,       /* smaller bodies do not count: the queues' length bounds them */
    UNREAD_PEER_MAX = 64 << 20 /* of one peer; a single body is never refused */
};

/* One a peer and one for all peers of a socket; lives on while ZeroMQ has a body of it. */
typedef struct unread unread_t;

/* NULL when out of memory. */
unread_t *unread_new(void);
/* The owner lets go. */
void unread_drop(unread_t **self_p);

size_t unread_bytes(const unread_t *self);
/* Is there room for another body of so many bytes? */
bool unread_room(const unread_t *self, size_t size, size_t most);
/* The body counts on both until its last copy is closed; peer may be NULL. 0; or -ENOMEM, and
 * nothing is changed. */
int unread_count(unread_t *peer, unread_t *all, zmq_msg_t *body);
