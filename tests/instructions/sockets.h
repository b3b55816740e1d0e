#pragma once
/* The ZeroMQ sockets of the program under count; the script holds their other ends. */
#include "common/slice.h"

#include <zmq.h>

typedef struct peer peer_t;

/* Somebody connects to the ROUTER that is bound to this endpoint, or is who the DEALER that
 * connected to it speaks with. Dies when there is none. */
peer_t *peer_new(const char *endpoint);
/* body empty: one frame. */
void peer_say(peer_t *self, struct slice header, struct slice body);
/* What the program sent it, oldest first; the caller closes both. False: nothing. */
bool peer_hear(peer_t *self, zmq_msg_t *ret_header, zmq_msg_t *ret_body);
