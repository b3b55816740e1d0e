#include "proto/shift.h"

#include "common/clock.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/mint.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SLOTS_MAX = 65536,
    SERVICES_MAX = 16,
    REQUESTS_OPEN_MAX = REPORTS_MAX + BEATS_MAX + 8, /* with a claim and a registration */
    TURN_MESSAGES = 256,                             /* handled before the next tick */
};

/* ---- what the worker is ---- */

static bool add_service(gantry_worker_t *self, struct slice service)
{
    for (size_t i = 0; i < self->services_count; i++)
        if (slice_is(service, self->services[i]))
            return true;
    if (self->services_count == SERVICES_MAX ||
        !slice_copy(service, self->services[self->services_count], sizeof self->services[0]))
        return false;
    size_t size = strlen(self->services_text);
    (void)snprintf(self->services_text + size, sizeof self->services_text - size, "%s%s",
                   size ? "," : "", self->services[self->services_count++]);
    return true;
}

static bool nodes_valid(gantry_worker_t *self)
{
    for (size_t i = 0; i < self->options.nodes_count; i++) {
        const struct gantry_node *node = &self->options.nodes[i];
        struct slice service = task_name_service(slice_of(node->name));
        if (service.size == 0 || !node->run || !add_service(self, service))
            return false;
    }
    return self->services_count > 0;
}

static void pack_names(struct parcel *parcel, const char *const *names)
{
    msgpack_packer pk = parcel_packer(parcel);
    uint32_t count = 0;
    while (names && names[count])
        count++;
    msgpack_pack_array(&pk, count);
    for (uint32_t i = 0; i < count; i++)
        pack_text(&pk, names[i]);
}

static void pack_inputs(struct parcel *parcel, const struct gantry_node *node)
{
    msgpack_packer pk = parcel_packer(parcel);
    msgpack_pack_array(&pk, node->inputs_count);
    for (size_t i = 0; i < node->inputs_count; i++) {
        const struct gantry_input *input = &node->inputs[i];
        struct m_input m = {
            .name = slice_of(input->name),
            .type = slice_of(input->type),
            .required = input->required,
            .fallback = slice_make(input->fallback.data, input->fallback.size),
            .upstream = slice_of(input->upstream),
            .doc = slice_of(input->doc),
        };
        message_encode(&m_input_layout, &m, &pk);
    }
}

/* The parts lie one after the other in items until the node is written. */
static void pack_node(gantry_worker_t *self, const struct gantry_node *node)
{
    struct parcel *parts = &self->items;
    msgpack_packer pk = parcel_packer(&self->body);
    parcel_start(parts);
    size_t inputs = parcel_mark(parts);
    pack_inputs(parts, node);
    size_t outputs = parcel_mark(parts);
    pack_names(parts, node->outputs);
    size_t key = parcel_mark(parts);
    pack_names(parts, node->key);
    if (parts->failed)
        return;
    struct m_node m = {
        .name = slice_of(node->name),
        .doc = slice_of(node->doc),
        .inputs = slice_make(parts->data + inputs, outputs - inputs),
        .outputs = slice_make(parts->data + outputs, key - outputs),
        .key = slice_make(parts->data + key, parcel_mark(parts) - key),
        .timeout_ms = node->timeout_ms,
        .failures_max = node->failures_max,
        .crashes_max = node->crashes_max,
        .retry_ms = node->retry_ms,
        .space = node->space,
    };
    message_encode(&m_node_layout, &m, &pk);
    parcel_keep(&self->body);
}

static bool pack_registration(gantry_worker_t *self)
{
    parcel_start(&self->body);
    for (size_t i = 0; i < self->options.nodes_count; i++)
        pack_node(self, &self->options.nodes[i]);
    struct m_register m = { .session = worker_id(self), .nodes = parcel_array(&self->body) };
    parcel_start(&self->registration);
    size_t mark = parcel_mark(&self->registration);
    msgpack_packer pk = parcel_packer(&self->registration);
    message_encode(&m_register_layout, &m, &pk);
    return !self->items.failed && !self->body.failed && !self->registration.failed &&
           codec_check(parcel_item(&self->registration, mark)) == 0;
}

/* ---- the session ---- */

static void on_welcomed(void *arg, const struct m_welcome *welcome)
{
    gantry_worker_t *self = arg;
    self->batch_max = welcome->batch_max ? welcome->batch_max : 1;
    self->body_max = welcome->body_max;
    self->heartbeat_ms = welcome->heartbeat_ms ? welcome->heartbeat_ms : 1;
    self->lease_ms = welcome->lease_ms;
    beat_welcomed(self);
}

static void on_lost(void *arg)
{
    gantry_worker_t *self = arg;
    self->leased = false;
}

static void on_socket(void *arg, void *socket)
{
    gantry_worker_t *self = arg;
    if (self->changed)
        self->changed(self->changed_arg, socket);
}

static bool open_session(gantry_worker_t *self)
{
    parcel_start(&self->items);
    msgpack_packer pk = parcel_packer(&self->items);
    for (size_t i = 0; i < self->services_count; i++) {
        pack_text(&pk, self->services[i]);
        parcel_keep(&self->items);
    }
    struct slice services = parcel_array(&self->items);
    self->services_packed = slice_dup(services);
    if (!self->services_packed || services.size == 0)
        return false;
    struct session_options options = {
        .zmq = self->zmq,
        .endpoints = self->brokers,
        .hello = { .role = SLICE("worker"),
                   .name = slice_of(self->name),
                   .session = worker_id(self),
                   .services = slice_make(self->services_packed, services.size),
                   .slots = self->options.slots,
                   .software = SLICE("libgantry/" GANTRY_VERSION),
                   .host = slice_of(self->host),
                   .pid = (uint32_t)getpid() },
        .requests_max = REQUESTS_OPEN_MAX,
        .events = { .socket_changed = on_socket, .welcomed = on_welcomed, .lost = on_lost },
        .arg = self,
    };
    self->session = session_new(&options);
    return self->session != NULL;
}

/* ---- life ---- */

static void link_all(gantry_worker_t *self)
{
    link_init(&self->running);
    link_init(&self->lost);
    link_init(&self->ended);
    link_init(&self->later);
    link_init(&self->idle_reports);
    for (size_t i = 0; i < REPORTS_MAX; i++) {
        self->reports[i].worker = self;
        link_init(&self->reports[i].jobs);
        link_init(&self->reports[i].link);
        link_append(&self->idle_reports, &self->reports[i].link);
    }
    for (size_t i = 0; i < BEATS_MAX; i++)
        self->beats[i].worker = self;
}

static bool name_worker(gantry_worker_t *self)
{
    const char *name = self->options.name;
    (void)gethostname(self->host, sizeof self->host - 1);
    if (name && *name)
        return slice_copy(slice_of(name), self->name, sizeof self->name);
    (void)snprintf(self->name, sizeof self->name, "%s-%d", self->host, (int)getpid());
    return true;
}

static bool start(gantry_worker_t *self)
{
    if (!self->options.brokers || !name_worker(self) || !nodes_valid(self) ||
        self->options.slots > SLOTS_MAX || mint_bytes(self->id, sizeof self->id))
        return false;
    self->brokers = slice_dup(slice_of(self->options.brokers));
    self->jobs = jobs_new(self->options.slots + UNACKNOWLEDGED_MAX + SERVICES_MAX);
    self->zmq = zmq_ctx_new();
    return self->brokers && self->jobs && self->zmq && pack_registration(self) &&
           open_session(self);
}

gantry_worker_t *gantry_worker_new(const struct gantry_worker_options *options)
{
    gantry_worker_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    link_all(self);
    self->options = *options;
    if (self->options.slots == 0)
        self->options.slots = 1;
    self->claim_seq = 1;
    self->renewed_ms = INT64_MIN / 2; /* far back, yet lengths of time can be added */
    self->confirmed_ms = self->renewed_ms;
    self->register_due_ms = self->beat_due_ms = INT64_MAX;
    if (!start(self))
        gantry_worker_destroy(&self);
    return self;
}

void gantry_worker_destroy(gantry_worker_t **self_p)
{
    gantry_worker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->draining = 1;
    jobs_stop(self, GANTRY_STOP_STALE);
    session_destroy(&self->session);
    if (self->zmq)
        zmq_ctx_term(self->zmq);
    jobs_destroy(&self->jobs);
    parcel_clear(&self->registration);
    parcel_clear(&self->items);
    parcel_clear(&self->body);
    free(self->services_packed);
    free(self->brokers);
    free(self);
}

void gantry_worker_watch(gantry_worker_t *self, void (*changed)(void *arg, void *socket), void *arg)
{
    self->changed = changed;
    self->changed_arg = arg;
}

bool gantry_worker_read(gantry_worker_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    return session_read(self->session, now_ms);
}

/* Whoever sees it true may end the worker at once: BYE has been said by then. */
bool gantry_worker_idle(const gantry_worker_t *self)
{
    return self->left;
}

static bool finished(const gantry_worker_t *self)
{
    return self->draining && jobs_count(self->jobs) == 0 && self->reports_open == 0;
}

static void say_bye(gantry_worker_t *self)
{
    struct m_bye bye = { .session = worker_id(self) };
    zmq_msg_t body;
    parcel_start(&self->body);
    msgpack_packer pk = parcel_packer(&self->body);
    message_encode(&m_bye_layout, &bye, &pk);
    self->left = true;
    if (!session_welcome(self->session) || parcel_take_bare(&self->body, &body))
        return;
    session_say(self->session, VERB_BYE, (struct slice){ 0 }, &body);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t gantry_worker_tick(gantry_worker_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    int64_t due = session_tick(self->session, now_ms);
    if (self->left)
        return due;
    beat_tick(self);
    report_tick(self);
    claim_tick(self);
    if (finished(self))
        say_bye(self);
    due = least(due, least(beat_due(self), report_due(self)));
    if (self->claim_due_ms > now_ms)
        due = least(due, self->claim_due_ms);
    return due;
}

int64_t gantry_worker_lease_until(const gantry_worker_t *self)
{
    return self->renewed_ms + self->lease_ms;
}

int64_t gantry_worker_confirmed_until(const gantry_worker_t *self)
{
    return self->confirmed_ms + self->lease_ms;
}

uint32_t gantry_worker_jobs(const gantry_worker_t *self)
{
    return self->running_count;
}

void gantry_worker_stop_jobs(gantry_worker_t *self, enum gantry_stop why)
{
    jobs_stop(self, why);
}

int gantry_worker_refused(const gantry_worker_t *self)
{
    return self->refused;
}

const char *gantry_worker_away(const gantry_worker_t *self)
{
    return session_welcome(self->session) ? NULL : session_refusal(self->session);
}

void gantry_worker_drain(gantry_worker_t *self)
{
    self->draining = 1;
}

void gantry_worker_undrain(gantry_worker_t *self)
{
    if (!self->left)
        self->draining = 0;
}

/* ---- a loop of its own ---- */

static void wait_for(gantry_worker_t *self, int64_t wait_ms)
{
    zmq_pollitem_t item = { .socket = session_socket(self->session), .events = ZMQ_POLLIN };
    int r = zmq_poll(&item, item.socket ? 1 : 0, wait_ms < INT32_MAX ? (long)wait_ms : INT32_MAX);
    assert(r >= 0 || errno == EINTR); /* the socket and the context are ours */
}

static bool read_all(gantry_worker_t *self)
{
    int64_t now = clock_ms();
    int read = 0;
    while (read < TURN_MESSAGES && gantry_worker_read(self, now))
        read++;
    return read > 0;
}

int gantry_worker_run(gantry_worker_t *self, int64_t timeout_ms)
{
    int64_t deadline = timeout_ms > 0 ? clock_ms() + timeout_ms : INT64_MAX;
    for (;;) {
        bool read = read_all(self); /* before the tick: what came speaks against a silent broker */
        int64_t now = clock_ms();
        int64_t due = least(gantry_worker_tick(self, now), deadline);
        int refused = self->refused;
        self->refused = 0;
        if (gantry_worker_idle(self))
            return 0;
        if (refused)
            return refused;
        if (now >= deadline)
            return STATUS_TIMEOUT;
        if (!read && due > now)
            wait_for(self, due - now);
    }
}
