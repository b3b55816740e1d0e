#pragma once
/* Answers to whoever asked. One that cannot be sent is counted: the peer is gone, or asks again. */
#include "broker/broker.h"

/* Status 0 and no body. */
void reply_ok(struct door *door, struct envelope *in);
/* What is in b->scratch, as the answer to in. */
void reply_scratch(struct door *door, struct envelope *in, uint32_t count);
/* With b->error as the body. 0 or -errno. */
int reply_error(struct door *door, struct slice id, uint64_t request, int status);

/* To the asker of a route, under its own number. 0; -EHOSTUNREACH: it has gone; -ENOBUFS: it was
 * told BUSY, since it does not read; -errno. */
int reply_route(struct broker *b, const struct route *route, const struct header *answer,
                zmq_msg_t *body);
int reply_route_error(struct broker *b, const struct route *route, int status);
