#include "common/zhub.h"

#include <stdlib.h>
#include <zmq.h>

/* A turn reads at most PASSES * PASS_READS messages of a socket before other events get their turn.
 */
enum { PASSES = 4, PASS_READS = 64 };

struct zsource {
    uv_poll_t poll; /* wakes the loop; says nothing else */
    zhub_t *hub;
    zsource_t *next;
    void *socket;
    zsource_read_fn *read;
    zsource_drained_fn *drained;
    void *arg;
    bool fed;      /* something happened in this turn */
    bool look;     /* a message may be there, and the descriptor need not say so */
    bool visited;  /* read was called in this turn, and drained() cares for connections */
    bool told;     /* see zsource_told(): else look is always meant */
    bool writable; /* as last seen: it changes with a connection made or lost */
    bool closed;   /* destroyed; unlinked at the end of the turn */
};

struct zhub {
    uv_prepare_t prepare;
    uv_idle_t idle; /* active while a turn met its bound */
    zsource_t *sources;
    bool closed;
    bool turning; /* sources are being walked: none may be unlinked */
    int open;     /* handles not closed yet; 0 frees */
};

static int events_of(const zsource_t *source)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(source->socket, ZMQ_EVENTS, &events, &size) == 0 ? events : 0;
}

/* Every call on the socket in this turn, read's last one too, may have taken what the descriptor
 * would tell: a message, or a connection made or lost. True: the next turn is to see to it. */
static bool missed(zsource_t *source)
{
    if (source->closed || (source->told && !source->look && !source->visited))
        return false;
    const int events = events_of(source);
    const bool writable = events & ZMQ_POLLOUT;
    source->fed = writable != source->writable;
    source->writable = writable;
    source->visited = false;
    return source->fed || (events & ZMQ_POLLIN);
}

/* What read answered with false has taken all messages that the descriptor told of: the next one
 * tells anew.
 */
static bool drain(zsource_t *source)
{
    if (source->closed || (source->told && !source->look))
        return false;
    source->visited = source->drained != NULL;
    for (int i = 0; i < PASS_READS && !source->closed && !source->hub->closed; i++) {
        source->look = false;
        if (!source->read(source->arg))
            return i > 0;
        source->fed = true;
    }
    return source->look = true;
}

static bool pass(zhub_t *self)
{
    bool any = false;
    for (zsource_t *s = self->sources; s && !self->closed; s = s->next)
        any |= drain(s);
    return any;
}

static void stay_awake(uv_idle_t *idle)
{
    (void)idle;
}

static void on_source_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void unlink_closed(zhub_t *self)
{
    for (zsource_t **at = &self->sources; *at;) {
        zsource_t *source = *at;
        if (!source->closed) {
            at = &source->next;
            continue;
        }
        *at = source->next;
        uv_close((uv_handle_t *)&source->poll, on_source_closed);
    }
}

static void turn(zhub_t *self)
{
    bool more = true;
    for (int i = 0; i < PASSES && more; i++)
        more = pass(self);
    for (zsource_t *s = self->sources; s && !self->closed; s = s->next) {
        if (s->fed && s->drained && !s->closed)
            s->drained(s->arg);
        s->fed = false;
    }
    more = false;
    for (zsource_t *s = self->sources; s && !self->closed; s = s->next) {
        s->look = missed(s);
        more |= s->look;
    }
    if (self->closed)
        return;
    if (more)
        uv_idle_start(&self->idle, stay_awake);
    else
        uv_idle_stop(&self->idle);
}

static void on_hub_closed(uv_handle_t *handle)
{
    zhub_t *self = handle->data;
    if (--self->open == 0)
        free(self);
}

static void end(zhub_t *self)
{
    for (zsource_t *s = self->sources; s; s = s->next)
        s->closed = true;
    unlink_closed(self);
    uv_close((uv_handle_t *)&self->prepare, on_hub_closed);
    uv_close((uv_handle_t *)&self->idle, on_hub_closed);
}

static void on_prepare(uv_prepare_t *handle)
{
    zhub_t *self = handle->data;
    self->turning = true;
    turn(self);
    self->turning = false;
    if (self->closed)
        end(self);
    else
        unlink_closed(self);
}

zhub_t *zhub_new(uv_loop_t *loop)
{
    zhub_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    uv_prepare_init(loop, &self->prepare);
    uv_idle_init(loop, &self->idle);
    self->prepare.data = self->idle.data = self;
    self->open = 2;
    uv_prepare_start(&self->prepare, on_prepare);
    return self;
}

void zhub_destroy(zhub_t **self_p)
{
    zhub_t *self = *self_p;
    *self_p = NULL;
    if (!self || self->closed)
        return;
    self->closed = true;
    if (!self->turning)
        end(self);
}

static int socket_fd(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    zsource_t *source = poll->data;
    (void)status;
    (void)events;
    source->look = true;
    source->fed = true; /* perhaps no message but a connection made or lost: drained() is to look */
}

zsource_t *zhub_add(zhub_t *self, void *socket, zsource_read_fn *read, zsource_drained_fn *drained,
                    void *arg)
{
    zsource_t *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    *source =
        (zsource_t){ .hub = self, .socket = socket, .read = read, .drained = drained, .arg = arg };
    if (uv_poll_init(self->prepare.loop, &source->poll, socket_fd(socket))) {
        free(source);
        return NULL;
    }
    source->poll.data = source;
    uv_poll_start(&source->poll, UV_READABLE, on_poll);
    source->look = true; /* what came before tells nothing */
    source->writable = events_of(source) & ZMQ_POLLOUT;
    source->next = self->sources;
    self->sources = source;
    return source;
}

void zsource_told(zsource_t *self)
{
    self->told = true;
}

void zsource_used(zsource_t *self)
{
    self->look = true;
}

void zsource_destroy(zsource_t **self_p)
{
    zsource_t *source = *self_p;
    *self_p = NULL;
    if (!source || source->closed)
        return;
    source->closed = true;
    uv_poll_stop(&source->poll); /* the descriptor may go right after */
    if (!source->hub->turning)
        unlink_closed(source->hub);
}
