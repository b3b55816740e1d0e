#pragma once
/* A message kept until it is answered: the header with the texts it borrows, the body by reference.
 */
#include "proto/envelope.h"

enum { KEPT_SERVICE_MAX = 32, KEPT_TRACE_MAX = 55 };

struct kept {
    struct header header; /* its slices lie in texts below: a kept message must not be moved */
    zmq_msg_t body;
    char service[KEPT_SERVICE_MAX];
    char trace[KEPT_TRACE_MAX];
};

static inline struct slice kept_text(char *room, size_t most, struct slice text)
{
    size_t size = text.size <= most ? text.size : 0;
    if (size)
        memcpy(room, text.data, size);
    return slice_make(room, size);
}

/* Copies the header, takes the body (which is an empty message then). Whatever self held is not
 * looked at. */
static inline void kept_fill(struct kept *self, const struct header *header, zmq_msg_t *body)
{
    self->header = *header;
    self->header.service = kept_text(self->service, KEPT_SERVICE_MAX, header->service);
    self->header.trace = kept_text(self->trace, KEPT_TRACE_MAX, header->trace);
    zmq_msg_init(&self->body);
    zmq_msg_move(&self->body, body);
}

static inline void kept_clear(struct kept *self)
{
    zmq_msg_close(&self->body);
    self->header.service = self->header.trace = (struct slice){ 0 };
}

static inline size_t kept_size(const struct kept *self)
{
    return zmq_msg_size(&self->body);
}
