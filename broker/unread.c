#include "broker/unread.h"

#include <errno.h>
#include <stdlib.h>

struct unread {
    atomic_size_t bytes;
    atomic_uint users; /* the owner, and every body */
};

struct held {
    zmq_msg_t body;
    unread_t *counts[2];
};

unread_t *unread_new(void)
{
    unread_t *self = malloc(sizeof *self);
    if (!self)
        return NULL;
    atomic_init(&self->bytes, 0);
    atomic_init(&self->users, 1);
    return self;
}

static void leave(unread_t *self)
{
    if (atomic_fetch_sub(&self->users, 1) == 1)
        free(self);
}

void unread_drop(unread_t **self_p)
{
    if (*self_p)
        leave(*self_p);
    *self_p = NULL;
}

size_t unread_bytes(const unread_t *self)
{
    return atomic_load(&self->bytes);
}

bool unread_room(const unread_t *self, size_t size, size_t most)
{
    size_t bytes = unread_bytes(self);
    return bytes == 0 || (bytes <= most && size <= most - bytes);
}

/* In ZeroMQ's thread. */
static void on_gone(void *data, void *hint)
{
    struct held *held = hint;
    size_t size = zmq_msg_size(&held->body);
    (void)data;
    for (int i = 0; i < 2; i++) {
        if (!held->counts[i])
            continue;
        atomic_fetch_sub(&held->counts[i]->bytes, size);
        leave(held->counts[i]);
    }
    zmq_msg_close(&held->body);
    free(held);
}

int unread_count(unread_t *peer, unread_t *all, zmq_msg_t *body)
{
    struct held *held = malloc(sizeof *held);
    if (!held)
        return -ENOMEM;
    *held = (struct held){ .counts = { peer, all } };
    zmq_msg_init(&held->body);
    zmq_msg_move(&held->body, body);
    size_t size = zmq_msg_size(&held->body);
    if (zmq_msg_init_data(body, zmq_msg_data(&held->body), size, on_gone, held)) {
        zmq_msg_init(body);
        zmq_msg_move(body, &held->body);
        zmq_msg_close(&held->body);
        free(held);
        return -ENOMEM;
    }
    for (int i = 0; i < 2; i++) {
        if (!held->counts[i])
            continue;
        atomic_fetch_add(&held->counts[i]->bytes, size);
        atomic_fetch_add(&held->counts[i]->users, 1);
    }
    return 0;
}
