/* ZeroMQ as far as Gantry uses it, on the simulated network: these definitions are linked instead
 * of the library's. */
#include "tests/sim/net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- messages: short ones within, others shared and counted ---- */

enum { WITHIN = 48 };

struct buffer {
    uint32_t users;
    void *data;
    zmq_free_fn *gone; /* NULL: data is part of the buffer */
    void *hint;
};

struct msg {
    uint32_t size;
    bool more;
    bool shared;
    union {
        uint8_t bytes[WITHIN];
        struct buffer *buffer;
    };
};

_Static_assert(sizeof(struct msg) <= sizeof(zmq_msg_t), "lies in its place");

static struct msg *of(zmq_msg_t *msg)
{
    return (struct msg *)(void *)msg;
}

static const struct msg *of_const(const zmq_msg_t *msg)
{
    return (const struct msg *)(const void *)msg;
}

int zmq_msg_init(zmq_msg_t *msg)
{
    struct msg *self = of(msg);
    self->size = 0;
    self->more = self->shared = false;
    return 0;
}

int zmq_msg_init_size(zmq_msg_t *msg, size_t size)
{
    struct msg *self = of(msg);
    zmq_msg_init(msg);
    self->size = (uint32_t)size;
    if (size <= WITHIN)
        return 0;
    struct buffer *buffer = malloc(sizeof *buffer + size);
    assert(buffer);
    *buffer = (struct buffer){ .users = 1, .data = buffer + 1 };
    self->shared = true;
    self->buffer = buffer;
    return 0;
}

int zmq_msg_init_data(zmq_msg_t *msg, void *data, size_t size, zmq_free_fn *gone, void *hint)
{
    struct msg *self = of(msg);
    struct buffer *buffer = malloc(sizeof *buffer);
    assert(buffer);
    *buffer = (struct buffer){ .users = 1, .data = data, .gone = gone, .hint = hint };
    *self = (struct msg){ .size = (uint32_t)size, .shared = true, .buffer = buffer };
    return 0;
}

int zmq_msg_close(zmq_msg_t *msg)
{
    struct msg *self = of(msg);
    struct buffer *buffer = self->shared ? self->buffer : NULL;
    zmq_msg_init(msg);
    if (!buffer || --buffer->users)
        return 0;
    if (buffer->gone)
        buffer->gone(buffer->data, buffer->hint);
    free(buffer);
    return 0;
}

int zmq_msg_move(zmq_msg_t *to, zmq_msg_t *from)
{
    zmq_msg_close(to);
    *of(to) = *of(from);
    zmq_msg_init(from);
    return 0;
}

int zmq_msg_copy(zmq_msg_t *to, zmq_msg_t *from)
{
    zmq_msg_close(to);
    *of(to) = *of(from);
    if (of(from)->shared)
        of(from)->buffer->users++;
    return 0;
}

void *zmq_msg_data(zmq_msg_t *msg)
{
    struct msg *self = of(msg);
    return self->shared ? self->buffer->data : self->bytes;
}

size_t zmq_msg_size(const zmq_msg_t *msg)
{
    return of_const(msg)->size;
}

int zmq_msg_more(const zmq_msg_t *msg)
{
    return of_const(msg)->more;
}

/* ---- sockets ---- */

void *zmq_socket(void *context, int type)
{
    (void)context;
    return sock_new(type);
}

int zmq_close(void *socket)
{
    sock_close(socket);
    return 0;
}

int zmq_setsockopt(void *socket, int option, const void *value, size_t size)
{
    struct sock *self = socket;
    if (option == ZMQ_LINGER && size == sizeof(int))
        memcpy(&self->linger_ms, value, size);
    return 0;
}

int zmq_getsockopt(void *socket, int option, void *value, size_t *size)
{
    const struct sock *self = socket;
    assert(option == ZMQ_EVENTS && *size == sizeof(int));
    int events = (self->inbox ? ZMQ_POLLIN : 0) |
                 (self->type == ZMQ_ROUTER || link_open(self->link, TO_ROUTER) ? ZMQ_POLLOUT : 0);
    memcpy(value, &events, sizeof events);
    return 0;
}

static void name(struct sock *self, const char *endpoint)
{
    size_t size = strlen(endpoint);
    assert(size < sizeof self->endpoint);
    memcpy(self->endpoint, endpoint, size + 1);
}

int zmq_bind(void *socket, const char *endpoint)
{
    name(socket, endpoint);
    return 0;
}

int zmq_connect(void *socket, const char *endpoint)
{
    name(socket, endpoint);
    sock_connect(socket);
    return 0;
}

/* Waits for nothing, but for the operator: who polls is stepped again when there is something, or
 * when it would have ended. */
int zmq_poll(zmq_pollitem_t *items, int count, long timeout_ms)
{
    const struct sock *sock = count ? items->socket : NULL;
    if (world.current->role == ROLE_OPERATOR)
        proc_block(sock ? (void *const *)(const void *)&sock->inbox : NULL, timeout_ms * 1000);
    world.current->poll_us = timeout_ms * (int64_t)1000;
    return sock && sock->inbox ? 1 : 0;
}

static int refuse(int why)
{
    errno = why;
    return -1;
}

/* Where a new message goes: NULL and errno when it does not. */
static struct link *open_link(struct sock *self)
{
    if (self->type == ZMQ_ROUTER)
        return self->sending;
    if (link_open(self->link, TO_ROUTER))
        return self->link;
    errno = EAGAIN;
    return NULL;
}

static int choose_peer(struct sock *self, const void *id, size_t size)
{
    struct link *link = link_by_id(self, id, size);
    if (!link)
        return refuse(EHOSTUNREACH);
    if (link_full(link, TO_DEALER))
        return refuse(EAGAIN);
    self->sending = link;
    return (int)size;
}

/* One more frame of the message being written; takes it. */
static int put_frame(struct sock *self, zmq_msg_t *frame, int flags)
{
    int size = (int)zmq_msg_size(frame);
    if (!self->writing) {
        if (!open_link(self))
            return -1;
        self->writing = packet_new();
    }
    assert(self->writing->frames < PACKET_FRAMES);
    zmq_msg_t *to = &self->writing->frame[self->writing->frames++];
    zmq_msg_init(to);
    zmq_msg_move(to, frame);
    of(to)->more = flags & ZMQ_SNDMORE;
    if (flags & ZMQ_SNDMORE)
        return size;
    struct packet *packet = self->writing;
    struct link *link = open_link(self);
    self->writing = NULL;
    self->sending = NULL;
    if (link)
        link_send(link, self->type == ZMQ_ROUTER ? TO_DEALER : TO_ROUTER, packet);
    else
        packet_free(packet);
    return size;
}

int zmq_send(void *socket, const void *data, size_t size, int flags)
{
    struct sock *self = socket;
    zmq_msg_t frame;
    if (self->closed)
        return refuse(ENOTSOCK);
    if (self->type == ZMQ_ROUTER && !self->sending)
        return choose_peer(self, data, size);
    zmq_msg_init_size(&frame, size);
    memcpy(zmq_msg_data(&frame), data, size);
    int r = put_frame(self, &frame, flags);
    zmq_msg_close(&frame);
    return r;
}

int zmq_msg_send(zmq_msg_t *msg, void *socket, int flags)
{
    return ((struct sock *)socket)->closed ? refuse(ENOTSOCK) : put_frame(socket, msg, flags);
}

static void take(zmq_msg_t *to, zmq_msg_t *from, bool more)
{
    zmq_msg_move(to, from);
    of(to)->more = more;
}

int zmq_msg_recv(zmq_msg_t *msg, void *socket, int flags)
{
    struct sock *self = socket;
    struct packet *packet = self->inbox;
    (void)flags;
    if (!packet)
        return refuse(EAGAIN);
    int ids = self->type == ZMQ_ROUTER ? 1 : 0;
    int place = self->read++ - ids;
    if (place < 0) {
        uint8_t id[LINK_ID_SIZE];
        link_id(packet->link, id);
        zmq_msg_close(msg);
        zmq_msg_init_size(msg, sizeof id);
        memcpy(zmq_msg_data(msg), id, sizeof id);
        of(msg)->more = true;
        return sizeof id;
    }
    take(msg, &packet->frame[place], place + 1 < packet->frames);
    if (place + 1 == packet->frames) {
        self->inbox = packet->next;
        if (!self->inbox)
            self->inbox_end = &self->inbox;
        self->read = 0;
        packet_free(packet);
    }
    return (int)zmq_msg_size(msg);
}
