/* How jobs end: their results, packed as items of DONE and RETURN. */
#include "proto/shift.h"

#include "common/status.h"
#include "common/utf8.h"
#include "proto/codec.h"

#include <assert.h>
#include <errno.h>

enum { MESSAGE_MOST = 4096, FIELD_MOST = 256 };

/* A map that a record can hold. */
static bool is_recordable(struct gantry_bytes bytes)
{
    struct slice value = { bytes.data, bytes.size };
    return codec_check(value) == 0 && codec_is(value, KIND_MAP) &&
           codec_depth(value) <= WIRE_VALUE_DEPTH_MAX;
}

/* At most size - 1 bytes of text, its head or its tail, with every byte that is no UTF-8 as '?': an
 * engine's last words may be anything, and one bad byte would make a whole DONE unreadable. */
static struct slice clean(const char *text, bool tail, char *to, size_t size)
{
    struct slice all = slice_of(text);
    const uint8_t *from = all.data;
    size_t left = all.size;
    size_t kept = 0;
    if (tail && left >= size) {
        from += left - (size - 1);
        left = size - 1;
    }
    while (left > 0) {
        size_t good = utf8_character(from, left);
        size_t taken = good ? good : 1;
        if (kept + taken >= size)
            break;
        memcpy(to + kept, good ? from : (const uint8_t *)"?", taken);
        kept += taken;
        from += taken;
        left -= taken;
    }
    return slice_make(to, kept);
}

static void pack_fault(struct parcel *parcel, const struct gantry_end *end)
{
    char message[MESSAGE_MOST + 1];
    char last_words[MESSAGE_MOST + 1];
    char field[FIELD_MOST + 1];
    struct m_fault fault = {
        .code = slice_of(status_name(end->code > 0 ? end->code : STATUS_FAILED)),
        .message = clean(end->message, false, message, sizeof message),
        .field = clean(end->field, false, field, sizeof field),
        .exit = end->exit_code,
        .signal = end->signal,
        .stderr = clean(end->last_words, true, last_words, sizeof last_words),
    };
    msgpack_packer pk = parcel_packer(parcel);
    message_encode(&m_fault_layout, &fault, &pk);
}

static struct slice raw(struct gantry_bytes bytes)
{
    return bytes.size && is_recordable(bytes) ? slice_make(bytes.data, bytes.size)
                                              : (struct slice){ 0 };
}

/* The ways a DONE ends an attempt. RETRY and SNOOZED are no states of a stage: it goes on. */
struct ending {
    struct slice state;
    bool faulty; /* says why */
    bool again;  /* another attempt comes: says when, and what it gets */
};
static const struct ending completed = { SLICE_INIT("completed"), false, false };
static const struct ending skipped = { SLICE_INIT("skipped"), false, false };
static const struct ending cancelled = { SLICE_INIT("cancelled"), false, false };
static const struct ending failed = { SLICE_INIT("failed"), true, false };
static const struct ending retry = { SLICE_INIT("retry"), true, true };
static const struct ending snoozed = { SLICE_INIT("snoozed"), false, true };

/* 0 or -ENOMEM. after_ms: of another attempt, 0 for a back-off. */
static int result_pack(gantry_job_t *job, const struct ending *as, const struct gantry_end *end,
                       uint64_t after_ms)
{
    static const struct gantry_end nothing;
    static const struct gantry_end no_map = {
        .code = STATUS_INVALID, .message = "the node's output is no msgpack map, or nested too deep"
    };
    gantry_worker_t *worker = job->worker;
    struct m_result m = {
        .id = slice_of(job->id),
        .task = slice_of(job->task),
        .session = worker_id(worker),
        .token = slice_make(job->token, sizeof job->token),
        .worker = slice_of(worker->name),
    };
    end = end ? end : &nothing;
    m.usage = raw(end->usage);
    m.output = raw(end->output);
    if (as == &completed && end->output.size != m.output.size) {
        as = &failed;
        end = &no_map;
    }
    parcel_start(&worker->items);
    if (as->faulty) {
        size_t mark = parcel_mark(&worker->items);
        pack_fault(&worker->items, end);
        m.error = parcel_item(&worker->items, mark);
        m.output = (struct slice){ 0 };
    }
    m.state = as->state;
    m.retry_after_ms = as->again ? after_ms : 0;
    m.checkpoint = as->again ? job->kept : (struct slice){ 0 };
    parcel_start(&worker->body);
    size_t mark = parcel_mark(&worker->body);
    msgpack_packer pk = parcel_packer(&worker->body);
    message_encode(&m_result_layout, &m, &pk);
    job->verb = VERB_DONE;
    if (worker->items.failed || worker->body.failed)
        return -ENOMEM;
    return job_keep_result(job, parcel_item(&worker->body, mark));
}

int result_pack_failure(gantry_job_t *job, const struct gantry_end *end)
{
    return result_pack(job, &failed, end, 0);
}

int result_pack_return(gantry_job_t *job)
{
    gantry_worker_t *worker = job->worker;
    struct m_handout m = {
        .id = slice_of(job->id),
        .task = slice_of(job->task),
        .session = worker_id(worker),
        .token = slice_make(job->token, sizeof job->token),
        .checkpoint = job->kept,
    };
    parcel_start(&worker->body);
    size_t mark = parcel_mark(&worker->body);
    msgpack_packer pk = parcel_packer(&worker->body);
    message_encode(&m_handout_layout, &m, &pk);
    job->verb = VERB_RETURN;
    if (worker->body.failed)
        return -ENOMEM;
    return job_keep_result(job, parcel_item(&worker->body, mark));
}

static void end_job(gantry_job_t *job, int packed)
{
    gantry_worker_t *worker = job->worker;
    if (job->lost ||
        packed) { /* no memory for a result: the heartbeat, which lacks it, gives it back */
        worker->running_count--;
        jobs_remove(worker->jobs, job);
        return;
    }
    report_add(worker, job);
}

static void end_as(gantry_job_t *job, const struct ending *as, const struct gantry_end *end,
                   uint64_t after_ms)
{
    assert(job->phase == JOB_RUNNING); /* a job ends once */
    end_job(job, job->lost ? 0 : result_pack(job, as, end, after_ms));
}

void gantry_job_done(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, &completed, end, 0);
}

void gantry_job_skipped(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, &skipped, end, 0);
}

void gantry_job_failed(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, &failed, end, 0);
}

/* On the wire 0 is nothing said: "at once" is the least there is. */
void gantry_job_retry(gantry_job_t *self, const struct gantry_end *end, int64_t after_ms)
{
    end_as(self, &retry, end, after_ms < 0 ? 0 : after_ms > 1 ? (uint64_t)after_ms : 1);
}

void gantry_job_snooze(gantry_job_t *self, int64_t after_ms)
{
    end_as(self, &snoozed, NULL, after_ms > 1 ? (uint64_t)after_ms : 1);
}

void gantry_job_cancelled(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, &cancelled, end, 0);
}

void gantry_job_return(gantry_job_t *self)
{
    assert(self->phase == JOB_RUNNING);
    end_job(self, self->lost ? 0 : result_pack_return(self));
}
