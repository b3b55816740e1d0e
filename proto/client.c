#include "proto/client.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/client_loop.h"
#include "proto/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum {
    REQUESTS_OPEN_MAX = 65536,
    TURN_MESSAGES = 256, /* handled before the clock is looked at again */
    DEFAULT_BATCH = 256,
    DEFAULT_BODY = 1 << 20,
    DEFAULT_MERGE = 64,
};

const char *gantry_status_name(int status)
{
    return status < 0 ? "ERRNO" : status_name(status);
}

const char *gantry_status_text(int status)
{
    return status < 0 ? strerror(-status) : status_text(status);
}

static void on_welcomed(void *arg, const struct m_welcome *welcome)
{
    gantry_client_t *self = arg;
    self->welcomed = true;
    self->heard++;
    self->batch_max = welcome->batch_max ? welcome->batch_max : 1;
    self->body_max = welcome->body_max;
}

static void on_socket_changed(void *arg, void *socket)
{
    gantry_client_t *self = arg;
    if (self->watched)
        self->watched(self->watched_arg, socket);
}

static bool open_session(gantry_client_t *self)
{
    struct session_options options = {
        .zmq = self->zmq,
        .endpoints = self->brokers,
        .hello = { .role = SLICE("client"),
                   .name = slice_of(program_invocation_short_name),
                   .software = SLICE("libgantry/" GANTRY_VERSION),
                   .host = slice_of(self->host),
                   .pid = (uint32_t)getpid() },
        .requests_max = REQUESTS_OPEN_MAX,
        .events = { .socket_changed = on_socket_changed, .welcomed = on_welcomed },
        .arg = self,
    };
    self->session = session_new(&options);
    return self->session != NULL;
}

gantry_client_t *gantry_client_new(const char *brokers)
{
    gantry_client_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    link_init(&self->later);
    self->error.message = self->message;
    self->error.field = self->field;
    self->error.scope = self->scope;
    self->batch_max = DEFAULT_BATCH;
    self->body_max = DEFAULT_BODY;
    self->merge_max = DEFAULT_MERGE;
    (void)gethostname(self->host, sizeof self->host - 1);
    self->zmq = zmq_ctx_new();
    if (!self->zmq || !slice_copy(slice_of(brokers), self->brokers, sizeof self->brokers) ||
        !open_session(self))
        gantry_client_destroy(&self);
    return self;
}

static struct later *first_later(const gantry_client_t *self)
{
    struct link *first = link_first(&self->later);
    return first ? link_owner(first, struct later, link) : NULL;
}

static void wake(struct later *later)
{
    link_remove(&later->link);
    later->wake(later);
}

void gantry_client_destroy(gantry_client_t **self_p)
{
    gantry_client_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->ending = true;
    self->turning = true;
    if (self->session)
        (void)submit_flush(self);
    if (self->session) /* else the broker would count us until it has heard nothing for long */
        session_say(self->session, VERB_BYE, (struct slice){ 0 }, NULL);
    session_destroy(&self->session);
    submit_end(self);
    for (struct later *at = first_later(self); at; at = first_later(self))
        wake(at);
    parcel_clear(&self->parcel);
    parcel_clear(&self->gathered.parcel);
    if (self->zmq)
        zmq_ctx_term(self->zmq);
    free(self);
}

const struct gantry_error *gantry_client_error(const gantry_client_t *self)
{
    return &self->error;
}

int client_body(struct slice bytes, zmq_msg_t *ret_body)
{
    if (zmq_msg_init_size(ret_body, bytes.size))
        return -ENOMEM;
    if (bytes.size)
        memcpy(zmq_msg_data(ret_body), bytes.data, bytes.size);
    return 0;
}

int client_request(gantry_client_t *self, const struct request *request, zmq_msg_t *body,
                   session_answer_fn *answer, void *arg)
{
    (void)submit_flush(self);
    return session_request(self->session, request, body, answer, arg);
}

int client_wrong(gantry_client_t *self, int status, const char *field, const char *message)
{
    self->error.limit = self->error.current = 0;
    self->error.retry_after_ms = 0;
    self->scope[0] = '\0';
    (void)snprintf(self->field, sizeof self->field, "%s", field);
    (void)snprintf(self->message, sizeof self->message, "%s", message);
    return status;
}

/* Nobody said a word: say what is known here. */
static int refused_mutely(gantry_client_t *self, int status)
{
    client_wrong(self, status, "", status_text(status));
    if (status != STATUS_TIMEOUT || session_welcome(self->session))
        return status;
    const char *why = session_refusal(self->session);
    (void)snprintf(self->message, sizeof self->message, "no broker %s at %.600s%s%.300s",
                   *why ? "takes clients" : "answers", self->brokers, *why ? ": " : "", why);
    return status;
}

int client_refused(gantry_client_t *self, uint32_t status, struct slice body)
{
    struct m_error error;
    if (body.size == 0 || message_decode(&m_error_layout, body, &error, NULL))
        return refused_mutely(self, (int)status);
    self->error.limit = error.limit;
    self->error.current = error.current;
    self->error.retry_after_ms = error.retry_after_ms;
    slice_copy(error.message, self->message, sizeof self->message);
    slice_copy(error.field, self->field, sizeof self->field);
    slice_copy(error.scope, self->scope, sizeof self->scope);
    return (int)status;
}

void client_later(gantry_client_t *self, struct later *later, int64_t due_ms)
{
    struct link *after = self->later.before; /* mostly the newest is due last */
    while (after != &self->later && link_owner(after, struct later, link)->due_ms > due_ms)
        after = after->before;
    later->due_ms = due_ms;
    link_init(&later->link);
    link_append(after->after, &later->link);
}

int64_t client_deadline(int64_t timeout_ms)
{
    int64_t now = clock_ms();
    return timeout_ms <= 0 || timeout_ms > INT64_MAX - now ? INT64_MAX : now + timeout_ms;
}

static bool read_all(gantry_client_t *self)
{
    int64_t now = clock_ms();
    int read = 0;
    while (read < TURN_MESSAGES && session_read(self->session, now))
        read++;
    return read > 0;
}

static int64_t wake_due(gantry_client_t *self, int64_t now)
{
    for (struct later *at = first_later(self); at; at = first_later(self)) {
        if (at->due_ms > now)
            return at->due_ms;
        wake(at);
    }
    return INT64_MAX;
}

static void poll_socket(gantry_client_t *self, int64_t wait_ms)
{
    zmq_pollitem_t item = { .socket = session_socket(self->session), .events = ZMQ_POLLIN };
    int r = zmq_poll(&item, item.socket ? 1 : 0, (long)wait_ms);
    assert(r >= 0 || errno == EINTR); /* the socket and the context are ours */
}

/* Reads first: after a long pause what came meanwhile speaks against a silent broker. */
static void turn(gantry_client_t *self, int64_t wait_ms)
{
    uint64_t heard = self->heard;
    bool read = read_all(self);
    int64_t now = clock_ms();
    int64_t due = session_tick(self->session, now);
    int64_t earliest = wake_due(self, now);
    (void)submit_flush(self); /* what could not go now goes with the next turn */
    if (earliest < due)
        due = earliest;
    if (read || self->heard != heard || wait_ms <= 0 || due <= now)
        return;
    poll_socket(self, due - now < wait_ms ? due - now : wait_ms);
    (void)read_all(self);
    (void)submit_flush(self);
}

void gantry_client_watch(gantry_client_t *self, void (*changed)(void *arg, void *socket), void *arg)
{
    self->watched = changed;
    self->watched_arg = arg;
}

bool gantry_client_read(gantry_client_t *self, int64_t now_ms)
{
    self->turning = true;
    bool read = session_read(self->session, now_ms);
    self->turning = false;
    return read;
}

int64_t gantry_client_tick(gantry_client_t *self, int64_t now_ms)
{
    self->turning = true;
    int64_t due = session_tick(self->session, now_ms);
    int64_t earliest = wake_due(self, now_ms);
    (void)submit_flush(self);
    self->turning = false;
    return earliest < due ? earliest : due;
}

const char *gantry_client_away(const gantry_client_t *self)
{
    return session_welcome(self->session) ? NULL : session_refusal(self->session);
}

int client_turn(gantry_client_t *self, int64_t wait_ms)
{
    if (self->turning)
        return -EDEADLK;
    self->turning = true;
    turn(self, wait_ms);
    self->turning = false;
    return 0;
}

int client_block(gantry_client_t *self, const bool *done)
{
    int r = 0;
    while (r == 0 && !*done)
        r = client_turn(self, INT32_MAX);
    return r;
}

int gantry_client_turn(gantry_client_t *self, int64_t timeout_ms)
{
    return client_turn(self, timeout_ms);
}

int gantry_client_run(gantry_client_t *self, int64_t timeout_ms)
{
    int64_t deadline = client_deadline(timeout_ms);
    while (self->open > 0) {
        int64_t left = deadline - clock_ms();
        if (left <= 0)
            return STATUS_TIMEOUT;
        int r = client_turn(self, left < INT32_MAX ? left : INT32_MAX);
        if (r)
            return r;
    }
    return 0;
}

void gantry_client_merge(gantry_client_t *self, size_t tasks_max)
{
    self->merge_max = tasks_max;
}

size_t gantry_client_open(const gantry_client_t *self)
{
    return self->open;
}
