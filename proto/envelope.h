#pragma once
/* One message on a socket: header read into a struct, body as it came (never copied). */
#include "common/slice.h"
#include "proto/schema.h"

#include <zmq.h>

struct header {
    uint32_t verb;
    uint64_t request;
    uint32_t epoch;
    uint32_t status;
    struct slice service; /* borrowed from the envelope's header frame, or the sender's */
    uint32_t priority;
    uint32_t count;
    uint32_t hash;
    struct slice trace;
};

struct envelope {
    zmq_msg_t peer;  /* routing id, of messages from a ROUTER; else empty */
    zmq_msg_t frame; /* the header's bytes, that header's slices borrow from */
    zmq_msg_t body;  /* empty when there was none */
    struct header header;
};

void envelope_init(struct envelope *self);
void envelope_clear(struct envelope *self);

/* Next message, without waiting. routed: the socket is a ROUTER. 0; -EAGAIN: none;
 * STATUS_MALFORMED: not [header][body] or a header that is none (the message was read away whole;
 * self->peer is set when routed); -errno. An initialised or cleared envelope is filled; what it
 * held is released. */
int envelope_receive(struct envelope *self, void *socket, bool routed);

/* Sends, without waiting. peer empty: the socket is a DEALER. body may be NULL for none; on 0 it
 * was taken (moved) and is an empty message; else it is untouched. 0; -EHOSTUNREACH: no such peer;
 * -EAGAIN: its pipe is full (or, DEALER, nobody is connected); -errno. */
int envelope_send(void *socket, struct slice peer, const struct header *header, zmq_msg_t *body);

/* size: how much of text is filled. False: it does not fit. */
bool header_encode(const struct header *header, uint8_t bytes[WIRE_HEADER_MAX], size_t *ret_size);
/* 0 or STATUS_MALFORMED; slices borrow from bytes. When only the service or the priority is none,
 * the header is filled all the same, without service: there is a request to refuse. Else it is
 * untouched. */
int header_decode(struct header *ret_header, struct slice bytes);

struct message_layout;
/* A body that is one map. Out of memory leaves it empty, which the other side refuses by name. */
void envelope_body(const struct message_layout *layout, const void *m, zmq_msg_t *ret_body);

static inline struct slice frame_slice(zmq_msg_t *frame)
{
    return (struct slice){ zmq_msg_data(frame), zmq_msg_size(frame) };
}
