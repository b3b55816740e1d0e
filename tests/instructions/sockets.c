/* Sockets are linked instead of libzmq's; messages are libzmq's own. */
#include "tests/instructions/sockets.h"

#include "tests/instructions/count.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define EXPORT __attribute__((visibility("default")))

enum { SOCKETS_MAX = 16, ENDPOINT_MAX = 64, ID_SIZE = 5 };

struct packet {
    struct packet *next;
    peer_t *peer; /* whose */
    bool has_body;
    zmq_msg_t header, body;
};

struct queue {
    struct packet *first, **end;
};

struct socket {
    int type;
    int fd;        /* readable: a message came since the socket was looked at last */
    bool signaled; /* it is */
    bool closed;
    char endpoint[ENDPOINT_MAX];
    struct queue in;
    int read; /* frames of the first in `in` */
    peer_t *peers;
    peer_t *to; /* ROUTER: whom the message being sent is for */
    struct packet *writing;
};

struct peer {
    peer_t *next;
    struct socket *socket;
    uint32_t number;
    struct queue heard;
};

static struct socket sockets[SOCKETS_MAX];
static size_t sockets_count;
static bool more; /* after the frame that was read last */

static void queue_add(struct queue *self, struct packet *packet)
{
    if (!self->first)
        self->end = &self->first;
    *self->end = packet;
    self->end = &packet->next;
}

static struct packet *queue_take(struct queue *self)
{
    struct packet *packet = self->first;
    if (packet)
        self->first = packet->next;
    return packet;
}

/* ---- the script's ends ---- */

static void fill(zmq_msg_t *msg, struct slice bytes)
{
    if (zmq_msg_init_size(msg, bytes.size))
        count_die("out of memory");
    if (bytes.size)
        memcpy(zmq_msg_data(msg), bytes.data, bytes.size);
}

static struct socket *at_endpoint(const char *endpoint)
{
    for (size_t i = 0; i < sockets_count; i++)
        if (!sockets[i].closed && strcmp(sockets[i].endpoint, endpoint) == 0)
            return &sockets[i];
    count_die("no socket is at %s", endpoint);
}

peer_t *peer_new(const char *endpoint)
{
    static uint32_t numbers;
    peer_t *self = calloc(1, sizeof *self);
    if (!self)
        count_die("out of memory");
    self->socket = at_endpoint(endpoint);
    self->number = ++numbers;
    self->next = self->socket->peers;
    self->socket->peers = self;
    return self;
}

void peer_say(peer_t *self, struct slice header, struct slice body)
{
    struct packet *packet = calloc(1, sizeof *packet);
    if (!packet)
        count_die("out of memory");
    packet->peer = self;
    packet->has_body = body.size != 0;
    fill(&packet->header, header);
    fill(&packet->body, body);
    queue_add(&self->socket->in, packet);
    if (!self->socket->signaled && eventfd_write(self->socket->fd, 1))
        count_die("a socket's descriptor takes nothing");
    self->socket->signaled = true;
}

bool peer_hear(peer_t *self, zmq_msg_t *ret_header, zmq_msg_t *ret_body)
{
    struct packet *packet = queue_take(&self->heard);
    if (!packet)
        return false;
    zmq_msg_init(ret_header);
    zmq_msg_init(ret_body);
    zmq_msg_move(ret_header, &packet->header);
    zmq_msg_move(ret_body, &packet->body);
    free(packet);
    return true;
}

/* ---- what the program calls ---- */

EXPORT void *zmq_ctx_new(void)
{
    return sockets;
}

EXPORT int zmq_ctx_term(void *context)
{
    (void)context;
    return 0;
}

EXPORT void *zmq_socket(void *context, int type)
{
    (void)context;
    if (sockets_count == SOCKETS_MAX)
        count_die("more than %d sockets", (int)SOCKETS_MAX);
    struct socket *self = &sockets[sockets_count++];
    self->type = type;
    self->fd =
        eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); /* never readable: turns come by themselves */
    return self;
}

EXPORT int zmq_close(void *socket)
{
    struct socket *self = socket;
    self->closed = true;
    return 0;
}

EXPORT int zmq_setsockopt(void *socket, int option, const void *value, size_t size)
{
    (void)socket;
    (void)option;
    (void)value;
    (void)size;
    return 0;
}

/* As libzmq's edge: told once, gone with the first look, whatever is left to read. */
static void looked_at(struct socket *self)
{
    eventfd_t count;
    if (self->signaled)
        (void)eventfd_read(self->fd, &count);
    self->signaled = false;
}

EXPORT int zmq_getsockopt(void *socket, int option, void *value, size_t *size)
{
    bool was_on = count_pause();
    struct socket *self = socket;
    int answer = 0;
    if (option == ZMQ_EVENTS)
        looked_at(self);
    if (option == ZMQ_EVENTS)
        answer = (self->in.first ? ZMQ_POLLIN : 0) |
                 (self->type == ZMQ_ROUTER || self->peers ? ZMQ_POLLOUT : 0);
    else if (option == ZMQ_FD)
        answer = self->fd;
    else if (option == ZMQ_RCVMORE)
        answer = more;
    else
        count_die("option %d of a socket is asked for", option);
    if (*size != sizeof answer)
        count_die("an option of %zu bytes is asked for", *size);
    memcpy(value, &answer, sizeof answer);
    count_socket_call();
    count_resume(was_on);
    return 0;
}

static int name(struct socket *self, const char *endpoint)
{
    size_t size = strlen(endpoint) + 1;
    if (size > sizeof self->endpoint)
        count_die("%s: too long", endpoint);
    memcpy(self->endpoint, endpoint, size);
    return 0;
}

EXPORT int zmq_bind(void *socket, const char *endpoint)
{
    return name(socket, endpoint);
}

EXPORT int zmq_connect(void *socket, const char *endpoint)
{
    return name(socket, endpoint);
}

static peer_t *peer_by_id(const struct socket *self, const void *id, size_t size)
{
    uint32_t number;
    if (size != ID_SIZE)
        return NULL;
    memcpy(&number, (const char *)id + 1, sizeof number);
    for (peer_t *peer = self->peers; peer; peer = peer->next)
        if (peer->number == number)
            return peer;
    return NULL;
}

/* Takes the frame. */
static int put(struct socket *self, zmq_msg_t *frame, int flags)
{
    int size = (int)zmq_msg_size(frame);
    bool first = !self->writing;
    if (first)
        self->writing = calloc(1, sizeof *self->writing);
    struct packet *packet = self->writing;
    if (!packet || (!first && packet->has_body))
        count_die("a message of more than two frames is sent");
    packet->has_body = !first;
    zmq_msg_t *to = first ? &packet->header : &packet->body;
    zmq_msg_init(&packet->body);
    zmq_msg_init(to);
    zmq_msg_move(to, frame);
    if (flags & ZMQ_SNDMORE)
        return size;
    peer_t *peer = self->type == ZMQ_ROUTER ? self->to : self->peers;
    queue_add(&peer->heard, packet);
    self->writing = NULL;
    self->to = NULL;
    return size;
}

/* 0: it was the routing id, or nobody to send to; else go on. */
static bool choose(struct socket *self, const void *data, size_t size, int *ret_result)
{
    if (self->type == ZMQ_ROUTER && !self->to) {
        self->to = peer_by_id(self, data, size);
        *ret_result = self->to ? (int)size : -1;
        errno = EHOSTUNREACH;
        return true;
    }
    *ret_result = -1;
    errno = EAGAIN;
    return self->type != ZMQ_ROUTER && !self->peers;
}

EXPORT int zmq_send(void *socket, const void *data, size_t size, int flags)
{
    bool was_on = count_pause();
    int r = 0;
    if (!choose(socket, data, size, &r)) {
        zmq_msg_t frame;
        fill(&frame, slice_make(data, size));
        r = put(socket, &frame, flags);
    }
    count_socket_call();
    count_resume(was_on);
    return r;
}

EXPORT int zmq_msg_send(zmq_msg_t *msg, void *socket, int flags)
{
    bool was_on = count_pause();
    int r = 0;
    if (!choose(socket, zmq_msg_data(msg), zmq_msg_size(msg), &r))
        r = put(socket, msg, flags);
    else if (r >= 0)
        zmq_msg_close(msg), zmq_msg_init(msg);
    count_socket_call();
    count_resume(was_on);
    return r;
}

static void give_id(zmq_msg_t *msg, const peer_t *peer)
{
    uint8_t id[ID_SIZE] = { 0 };
    memcpy(id + 1, &peer->number, sizeof peer->number);
    zmq_msg_close(msg);
    fill(msg, slice_make(id, sizeof id));
}

static int take(struct socket *self, zmq_msg_t *msg)
{
    struct packet *packet = self->in.first;
    if (!packet) {
        errno = EAGAIN;
        return -1;
    }
    int ids = self->type == ZMQ_ROUTER ? 1 : 0;
    int place = self->read++ - ids;
    more = place < 0 || (place == 0 && packet->has_body);
    if (place < 0)
        give_id(msg, packet->peer);
    else
        zmq_msg_move(msg, place ? &packet->body : &packet->header);
    if (!more) {
        queue_take(&self->in);
        self->read = 0;
        zmq_msg_close(&packet->header);
        zmq_msg_close(&packet->body);
        free(packet);
    }
    return (int)zmq_msg_size(msg);
}

EXPORT int zmq_msg_recv(zmq_msg_t *msg, void *socket, int flags)
{
    (void)flags;
    bool was_on = count_pause();
    looked_at(socket);
    int r = take(socket, msg);
    count_socket_call();
    count_resume(was_on);
    return r;
}

EXPORT int zmq_msg_more(const zmq_msg_t *msg)
{
    (void)msg;
    return more;
}
