#include "broker/door.h"

#include "broker/backend.h"
#include "broker/endpoint.h"
#include "broker/hello.h"
#include "broker/refuse.h"
#include "broker/reply.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"

#include <errno.h>

enum { SEND_MAX = 10000 /* messages that wait for one slow peer */ };

static int dispatch(struct door *self, struct envelope *in)
{
    struct broker *b = self->broker;
    const struct header *header = &in->header;
    struct peer *peer = peers_find(b->peers, self->role, frame_slice(&in->peer));
    verb_fn *handle = header->verb < VERB_END ? self->says[header->verb] : NULL;
    if (peer)
        peer->heard_ms = b->now_ms;
    if (!self->open_to_all && header->verb != VERB_HELLO && (!peer || header->epoch != b->epoch))
        return refuse_hello_first(b);
    if (!handle)
        return refuse_verb(b, header->verb, peer_role_text(self->role));
    return handle(self, peer, in);
}

/* All of the header could be read, but it names a queue that there cannot be. */
static int refuse_queue(struct broker *b, const struct header *header)
{
    if (header->priority >= PRIORITY_END)
        return refuse_field(b, STATUS_INVALID, "priority", "0 is normal, 1 high, 2 low");
    return refuse_field(b, STATUS_INVALID, "service", "a service is 1 to 32 of a-z, 0-9 and _");
}

static void log_refusal(const struct door *self, const struct envelope *in, int status)
{
    if (status == STATUS_MALFORMED)
        log_event_seldom(LOG_LEVEL_WARN, "malformed", "role=%s", peer_role_text(self->role));
    else if (status != STATUS_HELLO_FIRST)
        log_event_seldom(LOG_LEVEL_WARN, "refused", "role=%s verb=%s status=%s why=%s",
                         peer_role_text(self->role), verb_text(in->header.verb),
                         status_name(status), self->broker->error_text);
}

static void refuse(struct door *self, struct envelope *in, int status)
{
    bool read = in->header.verb != 0; /* the header of a malformed message is not known */
    if (status == STATUS_MALFORMED && !read)
        (void)refuse_malformed(self->broker);
    log_refusal(self, in, status);
    (void)reply_error(self, frame_slice(&in->peer), in->header.request, status);
}

/* Whose answer was lost in a full pipe is forgotten: its next word is answered HELLO_FIRST, and it
 * repeats what it asked. Askers of state services are seen to where those answer. */
static void forget_unanswered(struct door *self, struct envelope *in, uint64_t dropped)
{
    struct broker *b = self->broker;
    bool lost = b->counters.dropped != dropped && self->role != PEER_STATE;
    struct peer *peer = lost ? peers_find(b->peers, self->role, frame_slice(&in->peer)) : NULL;
    if (peer)
        hello_forget(b, &peer);
}

/* Called by the hub until it answers false. */
static bool on_readable(void *arg)
{
    struct door *self = arg;
    struct broker *b = self->broker;
    struct envelope *in = &b->in;
    in->header = (struct header){ 0 };
    int r = envelope_receive(in, self->socket, true);
    if (r == -EAGAIN)
        return false;
    b->now_ms = clock_ms();
    uint64_t dropped = b->counters.dropped;
    b->counters.received++;
    if (r == 0)
        r = dispatch(self, in);
    else if (r > 0 && in->header.verb)
        r = refuse_queue(b, &in->header);
    if (r > 0)
        refuse(self, in, r);
    if (r < 0)
        log_event_seldom(LOG_LEVEL_ERROR, "failed", "role=%s verb=%s errno=%d",
                         peer_role_text(self->role), verb_text(in->header.verb), -r);
    forget_unanswered(self, in, dropped);
    backend_turn(b);
    return true;
}

static bool set(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool set_options(void *socket)
{
    int64_t frame_max = WIRE_FRAME_HARD_MAX;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0 &&
           set(socket, ZMQ_ROUTER_MANDATORY, 1) && set(socket, ZMQ_LINGER, 0) &&
           set(socket, ZMQ_SNDHWM, SEND_MAX) && set(socket, ZMQ_TCP_KEEPALIVE, 1) &&
           set(socket, ZMQ_TCP_KEEPALIVE_IDLE, 30) && set(socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
}

int door_open(struct door *self, const char *endpoints, char *error)
{
    struct broker *b = self->broker;
    self->unread = unread_new();
    self->socket = zmq_socket(program_zmq(b->program), ZMQ_ROUTER);
    if (!self->unread || !self->socket || !set_options(self->socket))
        return -errno;
    int r = endpoint_bind(self->socket, endpoints, b->settings->broker_insecure, error);
    if (r)
        return r;
    self->source = zhub_add(program_hub(b->program), self->socket, on_readable, NULL, self);
    if (!self->source)
        return -ENOMEM;
    zsource_told(self->source);
    return 0;
}

void door_close(struct door *self)
{
    if (self->source)
        zsource_destroy(&self->source);
    if (self->socket)
        zmq_close(self->socket);
    self->socket = NULL;
    unread_drop(&self->unread);
}
