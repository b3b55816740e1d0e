/* The lease: a heartbeat now and then with all that is held, and what its answer says; who the
 * worker is and what it runs is told first. */
#include "proto/shift.h"

#include "common/status.h"
#include "proto/codec.h"

enum {
    RETRY_LEAST_MS = 100,
    REGISTER_PAUSE_MS = 1000,
    REGISTER_REFUSED_MS = 10000,
    REGISTER_AGAIN_MS = 15000 /* the store may have lost it, with all else it had */
};

int64_t answer_retry_ms(const struct header *header, struct slice body, int64_t fallback_ms)
{
    struct m_error error;
    if (header->status == 0 || body.size == 0 ||
        message_decode(&m_error_layout, body, &error, NULL) || error.retry_after_ms == 0)
        return fallback_ms;
    return error.retry_after_ms > RETRY_LEAST_MS ? error.retry_after_ms : RETRY_LEAST_MS;
}

/* ---- registration ---- */

static void on_registered(void *arg, const struct header *header, struct slice body)
{
    gantry_worker_t *self = arg;
    bool passing = header->status == STATUS_UNAVAILABLE || header->status == STATUS_BUSY ||
                   header->status == STATUS_TIMEOUT;
    self->register_open = false;
    self->refused = passing ? self->refused : (int)header->status;
    if (self->register_due_ms != INT64_MAX)
        return; /* a new connection meanwhile: told again anyway */
    int64_t pause_ms = header->status ? REGISTER_REFUSED_MS : REGISTER_AGAIN_MS;
    if (passing)
        pause_ms = answer_retry_ms(header, body, REGISTER_PAUSE_MS);
    self->register_due_ms = self->now_ms + pause_ms;
}

static void tell_nodes(gantry_worker_t *self)
{
    struct request request = { .verb = VERB_REGISTER, .timeout_ms = LOST_MS, .once = true };
    zmq_msg_t body;
    if (parcel_take_bare(&self->registration, &body))
        return;
    if (session_request(self->session, &request, &body, on_registered, self) == 0) {
        self->register_open = true;
        self->register_due_ms = INT64_MAX;
    }
    zmq_msg_close(&body);
}

/* ---- what an answer asks for ---- */

static void stop(gantry_job_t *job, enum gantry_stop why)
{
    if (job->node->stop)
        job->node->stop(job, why, job->node->arg);
}

void job_lose(gantry_worker_t *self, gantry_job_t *job)
{
    job->lost = true;
    jobs_forget(self->jobs, job);
    link_append(&self->lost, &job->link);
    stop(job, GANTRY_STOP_STALE);
}

void jobs_stop(gantry_worker_t *self, enum gantry_stop why)
{
    struct link told;
    link_init(&told);
    link_append_all(&told, &self->running);
    for (gantry_job_t *job = job_first(&told); job; job = job_first(&told)) {
        if (why == GANTRY_STOP_STALE) {
            job_lose(self, job);
            continue;
        }
        link_append(&self->running, &job->link);
        stop(job, why);
    }
}

static void on_stale(gantry_worker_t *self, gantry_job_t *job)
{
    if (job->phase == JOB_RUNNING) /* else its DONE is on its way, and is answered itself */
        job_lose(self, job);
}

static void on_cancel(gantry_worker_t *self, gantry_job_t *job)
{
    (void)self;
    if (job->phase != JOB_RUNNING || job->cancelled)
        return;
    job->cancelled = true;
    stop(job, GANTRY_STOP_CANCEL);
}

static void for_tokens(gantry_worker_t *self, struct slice tokens,
                       void (*act)(gantry_worker_t *self, gantry_job_t *job))
{
    struct reader reader;
    struct token token;
    uint32_t count;
    if (tokens.size == 0 || !codec_array(tokens, &reader, &count))
        return;
    for (uint32_t i = 0; i < count && reader_next(&reader, &token); i++) {
        gantry_job_t *job = token.kind == KIND_BIN ? jobs_find(self->jobs, token.bytes) : NULL;
        if (job)
            act(self, job);
    }
}

/* ---- heartbeats ---- */

/* That the store is away is told to every worker alike, and nobody's lease ends while it is: as
 * good as renewed. An answer that the session made up, for a connection that was lost, has no body.
 */
static bool renews(const struct header *header, struct slice body)
{
    return header->status == 0 || (header->status == STATUS_UNAVAILABLE && body.size > 0);
}

static void on_beat(void *arg, const struct header *header, struct slice body)
{
    struct beat *beat = arg;
    gantry_worker_t *self = beat->worker;
    struct m_beat answer;
    int64_t sent = beat->sent_ms;
    beat->sent_ms = 0;
    if (renews(header, body) && sent > self->renewed_ms)
        self->renewed_ms = sent;
    bool newest = header->status == 0 && sent > self->confirmed_ms;
    if (newest)
        self->confirmed_ms = sent;
    if (sent >= self->renewed_ms)
        self->leased = header->status == 0;
    if (header->status) {
        int64_t again = self->now_ms + answer_retry_ms(header, body, self->heartbeat_ms);
        self->beat_due_ms = again < self->beat_due_ms ? again : self->beat_due_ms;
        return;
    }
    if (body.size == 0 || message_decode(&m_beat_layout, body, &answer, NULL))
        return;
    for_tokens(self, answer.stale, on_stale);
    for_tokens(self, answer.cancel, on_cancel);
    if (newest)
        self->drained = answer.drain;
}

static void hold_all(gantry_worker_t *self, const struct link *ring)
{
    msgpack_packer pk = parcel_packer(&self->items);
    for (struct link *at = ring->after; at != ring; at = at->after) {
        const gantry_job_t *job = link_owner(at, gantry_job_t, link);
        struct m_hold hold = {
            .id = slice_of(job->id),
            .task = slice_of(job->task),
            .token = slice_make(job->token, sizeof job->token),
            .progress = job->progress,
        };
        message_encode(&m_hold_layout, &hold, &pk);
        parcel_keep(&self->items);
    }
}

static struct slice held(gantry_worker_t *self)
{
    parcel_start(&self->items);
    hold_all(self, &self->running);
    hold_all(self, &self->ended);
    hold_all(self, &self->later);
    for (size_t i = 0; i < REPORTS_MAX; i++)
        hold_all(self, &self->reports[i].jobs);
    return parcel_array(&self->items);
}

static void renew(gantry_worker_t *self, struct beat *with)
{
    struct m_heartbeat m = {
        .session = worker_id(self),
        .claim_open = self->claim_seq,
        .worker = slice_of(self->name),
        .services = slice_of(self->services_text),
        .slots = self->options.slots,
        .held = held(self),
    };
    struct request request = { .verb = VERB_HEARTBEAT, .timeout_ms = self->lease_ms, .once = true };
    zmq_msg_t body;
    parcel_start(&self->body);
    msgpack_packer pk = parcel_packer(&self->body);
    message_encode(&m_heartbeat_layout, &m, &pk);
    if (self->items.failed || parcel_take_bare(&self->body, &body))
        return;
    if (session_request(self->session, &request, &body, on_beat, with) == 0)
        with->sent_ms = self->now_ms;
    zmq_msg_close(&body);
}

static struct beat *idle_beat(gantry_worker_t *self)
{
    for (size_t i = 0; i < BEATS_MAX; i++)
        if (self->beats[i].sent_ms == 0)
            return &self->beats[i];
    return NULL;
}

static int64_t patience(const gantry_worker_t *self)
{
    return self->options.patience_ms > 0 ? self->options.patience_ms
                                         : (int64_t)self->lease_ms * 2 / 3;
}

/* That the store is away is enough to go on, not to begin: others may reach it. */
bool beat_confirmed(const gantry_worker_t *self)
{
    return self->now_ms - patience(self) <= self->confirmed_ms;
}

void beat_welcomed(gantry_worker_t *self)
{
    self->register_due_ms = 0;
    self->beat_due_ms = 0;
    self->leased = false;
}

void beat_tick(gantry_worker_t *self)
{
    if (!link_idle(&self->running) && self->now_ms - patience(self) > self->renewed_ms)
        jobs_stop(self, GANTRY_STOP_STALE);
    if (!session_welcome(self->session))
        return;
    if (self->now_ms >= self->register_due_ms && !self->register_open)
        tell_nodes(self);
    struct beat *with = idle_beat(self);
    if (self->now_ms >= self->beat_due_ms && with) {
        self->beat_due_ms = self->now_ms + self->heartbeat_ms;
        renew(self, with);
    }
}

int64_t beat_due(const gantry_worker_t *self)
{
    int64_t due = INT64_MAX;
    if (!link_idle(&self->running))
        due = self->renewed_ms + patience(self) + 1;
    if (!session_welcome(self->session))
        return due;
    if (self->beat_due_ms < due)
        due = self->beat_due_ms;
    if (!self->register_open && self->register_due_ms < due)
        due = self->register_due_ms;
    return due;
}
