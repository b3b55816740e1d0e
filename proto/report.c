/* DONE and RETURN: what ended is kept and told again until the other side says that it is written,
 * or that somebody else has it by now. */
#include "proto/shift.h"

#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"

enum { PAUSE_MS = 500, REFUSED_MS = 1000 };

void report_add(gantry_worker_t *self, gantry_job_t *job)
{
    self->running_count--;
    job->phase = JOB_ENDED;
    link_append(&self->ended, &job->link);
}

static bool passing(uint32_t status)
{
    return status == STATUS_UNAVAILABLE || status == STATUS_BUSY || status == STATUS_TIMEOUT;
}

static void again_at(gantry_worker_t *self, gantry_job_t *job, int64_t due_ms)
{
    job->due_ms = due_ms;
    link_append(&self->later, &job->link);
}

/* What is not wanted, without the part that may be why: a result's failure to be one, a stage that
 * goes back without its checkpoint. */
static bool packed_less(gantry_job_t *job, const struct gantry_end *end)
{
    if (job->verb == VERB_DONE)
        return result_pack_failure(job, end) == 0;
    bool kept = job->kept.size > 0;
    job->kept = (struct slice){ 0 };
    return kept && result_pack_return(job) == 0;
}

/* The result itself is not wanted: say that instead, once. What is refused even so is tried again
 * now and then: dropped, it would only be run again and again. */
static void demote(gantry_worker_t *self, gantry_job_t *job, uint32_t status, struct slice message)
{
    char text[1025];
    const struct gantry_end end = { .code = (int)status, .message = text };
    if (!slice_copy(message, text, sizeof text) || message.size == 0)
        slice_copy(slice_of(status_text((int)status)), text, sizeof text);
    if (!job->demoted && packed_less(job, &end)) {
        job->demoted = true;
        link_append(&self->ended, &job->link);
        return;
    }
    again_at(self, job, self->now_ms + REFUSED_MS);
}

static void on_outcome(gantry_worker_t *self, gantry_job_t *job, struct reader *items,
                       int64_t retry_ms)
{
    struct m_outcome outcome;
    if (message_next(&m_outcome_layout, items, &outcome, NULL))
        again_at(self, job, self->now_ms + REFUSED_MS);
    else if (outcome.status == STATUS_OK || outcome.status == STATUS_STALE)
        jobs_remove(self->jobs, job);
    else if (passing(outcome.status))
        again_at(self, job, self->now_ms + retry_ms);
    else
        demote(self, job, outcome.status, outcome.message);
}

/* The whole message was refused: for now, or because of one of them, which is found one by one. */
static void on_refusal(gantry_worker_t *self, gantry_job_t *job, const struct header *header,
                       int64_t retry_ms)
{
    if (passing(header->status) || header->status == STATUS_OK) {
        again_at(self, job, self->now_ms + retry_ms);
    } else if (!job->alone) {
        job->alone = true;
        link_append(&self->ended, &job->link);
    } else {
        demote(self, job, header->status, (struct slice){ 0 });
    }
}

static void on_outcomes(void *arg, const struct header *header, struct slice body)
{
    struct report *report = arg;
    gantry_worker_t *self = report->worker;
    struct link jobs;
    struct reader reader = { 0 };
    uint32_t count = 0;
    int64_t retry = header->status == STATUS_TIMEOUT ? 0 : answer_retry_ms(header, body, PAUSE_MS);
    if (header->status || !codec_array(body, &reader, &count))
        count = 0;
    link_init(&jobs);
    link_append_all(&jobs, &report->jobs);
    link_append(&self->idle_reports, &report->link);
    self->reports_open--;
    for (gantry_job_t *job = job_first(&jobs); job; job = job_first(&jobs)) {
        if (count > 0)
            on_outcome(self, job, &reader, retry);
        else
            on_refusal(self, job, header, retry);
        count -= count > 0;
    }
}

/* Too large for any message: a result of its own has to say so. */
static bool too_large(gantry_worker_t *self, gantry_job_t *job)
{
    if (job->result.size + 1 <= self->body_max || job->demoted)
        return false;
    demote(self, job, STATUS_TOO_LARGE,
           SLICE("the output is larger than the broker's limit of a body"));
    return true;
}

static bool fits(const gantry_worker_t *self, const gantry_job_t *job, uint32_t verb)
{
    const struct parcel *parcel = &self->body;
    if (parcel->count == 0)
        return true;
    return job->verb == verb && !job->alone && parcel->count < self->batch_max &&
           parcel_mark(parcel) + job->result.size <= self->body_max;
}

/* Moves what goes into one message from ended to the report. */
static uint32_t gather(gantry_worker_t *self, struct report *report)
{
    uint32_t verb = 0;
    bool alone = false;
    parcel_start(&self->body);
    msgpack_packer pk = parcel_packer(&self->body);
    for (gantry_job_t *job = job_first(&self->ended); job && !alone && fits(self, job, verb);
         job = job_first(&self->ended)) {
        verb = job->verb;
        alone = job->alone;
        pack_raw(&pk, job->result);
        parcel_keep(&self->body);
        link_append(&report->jobs, &job->link);
    }
    return verb;
}

static int send_report(gantry_worker_t *self, struct report *report)
{
    struct request request = { .verb = gather(self, report), .timeout_ms = LOST_MS };
    request.count = self->body.count;
    zmq_msg_t body;
    int r = parcel_take(&self->body, &body);
    if (r)
        return r;
    r = session_request(self->session, &request, &body, on_outcomes, report);
    zmq_msg_close(&body);
    return r;
}

static void move_due(gantry_worker_t *self)
{
    gantry_job_t *job = job_first(&self->later);
    while (job && job->due_ms <= self->now_ms) {
        link_append(&self->ended, &job->link);
        job = job_first(&self->later);
    }
}

static void put_off(gantry_worker_t *self, struct link *jobs)
{
    for (gantry_job_t *job = job_first(jobs); job; job = job_first(jobs))
        again_at(self, job, self->now_ms + PAUSE_MS);
}

void report_tick(gantry_worker_t *self)
{
    move_due(self);
    for (gantry_job_t *job = job_first(&self->ended); job; job = job_first(&self->ended)) {
        struct link *idle = link_first(&self->idle_reports);
        if (!idle)
            return;
        if (too_large(self, job))
            continue;
        struct report *report = link_owner(idle, struct report, link);
        if (send_report(self, report)) { /* no memory, or no room in the session */
            put_off(self, &report->jobs);
            return;
        }
        link_remove(idle);
        self->reports_open++;
    }
}

int64_t report_due(const gantry_worker_t *self)
{
    const gantry_job_t *first = job_first(&self->later);
    return first ? first->due_ms : INT64_MAX;
}
