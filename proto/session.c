#include "proto/session.h"

#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/dealer.h"
#include "proto/endpoints.h"
#include "proto/requests.h"

#include <stdlib.h>

enum {
    GREET_MS = 1000,    /* without a WELCOME for so long: the next endpoint */
    GREET_LOOK_MS = 10, /* how often a connection that is being made is looked at */
    FAREWELL_MS = 200,  /* how long a BYE may take to leave when the session ends */
    PROBE_MS = 500,     /* a lost connection is noticed within so long */
};

/* DOWN: no socket, waiting for again_ms. GREETING: a socket, no WELCOME yet. UP: requests flow. */
enum phase { DOWN, GREETING, UP };

struct session {
    struct session_options options;
    struct endpoints brokers;
    enum phase phase;
    bool ending; /* being destroyed: takes no request */
    void *socket;
    uint64_t hello_id;  /* 0: HELLO is still to be sent */
    bool refused;       /* HELLO was: this broker drains, or is full */
    char refusal[1025]; /* why, see session_refusal */
    int64_t again_ms;
    int64_t greeted_ms;
    int64_t pinged_ms;  /* last PING */
    int64_t unheard_ms; /* oldest PING since which nothing was heard; 0: none is open */
    struct m_welcome welcome;
    requests_t *requests;
    struct envelope in;
};

session_t *session_new(const struct session_options *options)
{
    session_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    envelope_init(&self->in);
    self->requests = requests_new(options->requests_max);
    if (!endpoints_init(&self->brokers, options->endpoints) || !self->requests)
        session_destroy(&self);
    return self;
}

static void close_socket(session_t *self)
{
    void *old = self->socket;
    int linger_ms = self->phase == UP ? FAREWELL_MS : 0;
    self->socket = NULL;
    if (!old)
        return;
    if (self->options.events.socket_changed)
        self->options.events.socket_changed(self->options.arg, NULL);
    dealer_close(old, linger_ms);
}

void session_destroy(session_t **self_p)
{
    session_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->ending = true;
    while (self->requests && requests_oldest(self->requests))
        requests_end_here(self->requests, requests_oldest(self->requests), STATUS_UNAVAILABLE);
    close_socket(self);
    envelope_clear(&self->in);
    requests_destroy(&self->requests);
    endpoints_clear(&self->brokers);
    free(self);
}

/* The connection is of no use any more: the next endpoint, at once in the first round. */
static void lose(session_t *self, int64_t now_ms)
{
    bool was_up = self->phase == UP;
    self->phase = DOWN;
    self->again_ms = now_ms + endpoints_next(&self->brokers);
    close_socket(self);
    if (!was_up)
        return;
    if (self->options.events.lost)
        self->options.events.lost(self->options.arg);
    requests_unsend(self->requests);
}

static void open_socket(session_t *self, int64_t now_ms)
{
    self->socket = dealer_new(self->options.zmq, endpoints_current(&self->brokers));
    if (!self->socket) { /* no memory, too many files, or an endpoint that is none */
        int64_t again_ms = now_ms + endpoints_next(&self->brokers);
        self->again_ms = again_ms > now_ms ? again_ms : now_ms + 1;
        return;
    }
    self->phase = GREETING;
    self->hello_id = 0;
    self->refused = false;
    self->greeted_ms = now_ms;
    if (self->options.events.socket_changed)
        self->options.events.socket_changed(self->options.arg, self->socket);
}

static void tell_used(session_t *self)
{
    if (self->options.events.used)
        self->options.events.used(self->options.arg);
}

static int transmit(session_t *self, const struct header *header, zmq_msg_t *body)
{
    int r = envelope_send(self->socket, (struct slice){ 0 }, header, body);
    tell_used(self);
    return r;
}

static void greet(session_t *self)
{
    zmq_msg_t body;
    struct header header = { .verb = VERB_HELLO, .request = requests_stray_id(self->requests) };
    envelope_body(&m_hello_layout, &self->options.hello, &body);
    if (transmit(self, &header, &body) == 0)
        self->hello_id = header.request;
    zmq_msg_close(&body);
}

static int send_pending(session_t *self, struct pending *p)
{
    struct header header = pending_header(p, self->welcome.epoch);
    zmq_msg_t copy;
    zmq_msg_init(&copy);
    zmq_msg_copy(&copy, &p->body); /* shares the bytes; ours stays for another try */
    int r = transmit(self, &header, p->has_body ? &copy : NULL);
    zmq_msg_close(&copy);
    if (r == 0)
        requests_mark_sent(self->requests);
    return r;
}

/* In the order they were made; the rest when the broker has answered some, or at the next tick,
 * which sees that the connection is gone. */
static void send_unsent(session_t *self)
{
    for (struct pending *p; (p = requests_next(self->requests, self->welcome.window));)
        if (send_pending(self, p))
            return;
}

int session_request(session_t *self, const struct request *request, zmq_msg_t *body,
                    session_answer_fn *answer, void *arg)
{
    if (self->ending)
        return STATUS_UNAVAILABLE;
    struct pending *p = requests_add(self->requests, request, clock_ms(), body);
    if (!p)
        return STATUS_BUSY;
    p->answer = answer;
    p->arg = arg;
    if (self->phase == UP)
        send_unsent(self);
    return 0;
}

void session_answer(session_t *self, uint64_t request, uint32_t status, uint32_t count,
                    zmq_msg_t *body)
{
    struct header header = { .verb = VERB_ANSWER,
                             .request = request,
                             .epoch = self->welcome.epoch,
                             .status = status,
                             .count = count };
    if (self->phase == UP)
        (void)transmit(self, &header, body);
    if (body)
        zmq_msg_close(body);
}

void session_say(session_t *self, uint32_t verb, struct slice service, zmq_msg_t *body)
{
    struct header header = { .verb = verb, .epoch = self->welcome.epoch, .service = service };
    if (self->phase == UP)
        (void)transmit(self, &header, body);
    if (body)
        zmq_msg_close(body);
}

static void on_welcome(session_t *self, struct slice body, int64_t now_ms)
{
    struct m_welcome welcome;
    if (codec_check(body) || message_decode(&m_welcome_layout, body, &welcome, NULL))
        return;                             /* no broker of ours: greeting times out */
    welcome.software = (struct slice){ 0 }; /* borrowed from the message */
    self->welcome = welcome;
    self->phase = UP;
    self->refusal[0] = '\0';
    endpoints_good(&self->brokers);
    self->pinged_ms = now_ms;
    self->unheard_ms = 0;
    if (self->options.events.welcomed)
        self->options.events.welcomed(self->options.arg, &self->welcome);
    send_unsent(self);
}

/* The next tick leaves this broker: a socket is not closed while it is read. */
static void on_refused(session_t *self, uint32_t status, struct slice body)
{
    struct m_error error;
    bool said = codec_check(body) == 0 &&
                message_decode(&m_error_layout, body, &error, NULL) == 0 && error.message.size;
    self->refused = true;
    slice_copy(said ? error.message : slice_of(status_text((int)status)), self->refusal,
               sizeof self->refusal);
}

static void on_greeted(session_t *self, const struct header *header, struct slice body,
                       int64_t now_ms)
{
    if (header->status == 0)
        on_welcome(self, body, now_ms);
    else
        on_refused(self, header->status, body);
}

/* The broker does not know us (any more): greet again on the same connection. */
static void greet_again(session_t *self, int64_t now_ms)
{
    if (self->phase != UP)
        return;
    self->phase = GREETING;
    self->hello_id = 0;
    self->greeted_ms = now_ms;
    if (self->options.events.lost)
        self->options.events.lost(self->options.arg);
    requests_unsend(self->requests);
}

static void on_answer(session_t *self, const struct header *header, int64_t now_ms)
{
    struct slice body = frame_slice(&self->in.body);
    if (self->phase == GREETING && self->hello_id && header->request == self->hello_id) {
        on_greeted(self, header, body, now_ms);
        return;
    }
    if (header->status == STATUS_HELLO_FIRST) {
        greet_again(self, now_ms);
        return;
    }
    requests_mark_answered(self->requests, header->request);
    struct pending *p = requests_find(self->requests, header->request);
    bool open = p && p->sent; /* else it was answered before, or timed out here */
    if (open)
        endpoints_used(&self->brokers, header->status != STATUS_UNAVAILABLE, now_ms);
    if (open && body.size && codec_check(body))
        requests_end_here(self->requests, p, STATUS_MALFORMED);
    else if (open)
        requests_end(self->requests, p, header, body);
    if (self->phase == UP)
        send_unsent(self); /* there may be room in the window now */
}

static void on_asked(session_t *self, struct header *header)
{
    if (header->verb == VERB_PING)
        session_answer(self, header->request, STATUS_OK, 0, NULL);
    else if (self->options.events.asked)
        self->options.events.asked(self->options.arg, header, &self->in.body);
    else
        session_answer(self, header->request, STATUS_UNSUPPORTED, 0, NULL);
}

bool session_read(session_t *self, int64_t now_ms)
{
    if (!self->socket)
        return false;
    int r = envelope_receive(&self->in, self->socket, false);
    if (r < 0)
        return false;
    self->unheard_ms = 0;
    if (r > 0)
        return true; /* not of our protocol: nothing to answer to */
    if (self->in.header.verb == VERB_ANSWER)
        on_answer(self, &self->in.header, now_ms);
    else
        on_asked(self, &self->in.header);
    return true;
}

static void ping(session_t *self, int64_t now_ms)
{
    struct header header = { .verb = VERB_PING,
                             .request = requests_stray_id(self->requests),
                             .epoch = self->welcome.epoch };
    self->pinged_ms = now_ms;
    if (!self->unheard_ms)
        self->unheard_ms = now_ms;
    (void)transmit(self, &header, NULL);
}

/* Asked in every tick, whoever was heard just now: this may be the only one that is caused by the
 * loss, and the connection is soon made again. */
static bool connected(session_t *self)
{
    bool stands = dealer_connected(self->socket);
    tell_used(self);
    return stands;
}

static int64_t tick_up(session_t *self, int64_t now_ms)
{
    int64_t heartbeat = self->welcome.heartbeat_ms, liveness = self->welcome.liveness_ms;
    bool silent = self->unheard_ms && now_ms - self->unheard_ms > liveness;
    bool useless = endpoints_useless(&self->brokers, now_ms, 2 * heartbeat);
    if (silent || useless || !connected(self)) {
        lose(self, now_ms);
        return self->again_ms;
    }
    send_unsent(self);
    if (now_ms - self->pinged_ms >= heartbeat)
        ping(self, now_ms);
    int64_t next = self->pinged_ms + heartbeat;
    if (self->unheard_ms && next > self->unheard_ms + liveness)
        next = self->unheard_ms + liveness + 1;
    return next < now_ms + PROBE_MS ? next : now_ms + PROBE_MS;
}

static int64_t tick_greeting(session_t *self, int64_t now_ms)
{
    if (!self->hello_id)
        greet(self);
    if (self->refused || now_ms - self->greeted_ms > GREET_MS) {
        lose(self, now_ms);
        return self->again_ms;
    }
    return now_ms + (self->hello_id ? GREET_MS : GREET_LOOK_MS);
}

int64_t session_tick(session_t *self, int64_t now_ms)
{
    int64_t next = self->again_ms;
    requests_expire(self->requests, now_ms);
    if (self->phase == DOWN && now_ms >= self->again_ms)
        open_socket(self, now_ms);
    if (self->phase == GREETING)
        next = tick_greeting(self, now_ms);
    else if (self->phase == UP)
        next = tick_up(self, now_ms);
    int64_t due_ms = requests_due_ms(self->requests);
    return next < due_ms ? next : due_ms;
}

const struct m_welcome *session_welcome(const session_t *self)
{
    return self->phase == UP ? &self->welcome : NULL;
}

const char *session_refusal(const session_t *self)
{
    return self->refusal;
}

void *session_socket(const session_t *self)
{
    return self->socket;
}

size_t session_open_requests(const session_t *self)
{
    return requests_count(self->requests);
}
