/* How jobs end: their results, packed as items of DONE and RETURN. */
#include "proto/shift.h"

#include "common/status.h"
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

/* Length of the character at from, 0 when it is no UTF-8. */
static size_t character(const uint8_t *from, size_t left)
{
    size_t size = *from < 0x80 ? 1 : *from < 0xe0 ? 2 : *from < 0xf0 ? 3 : 4;
    uint8_t text[8] = { (uint8_t)(0xa0 | size) };
    if (size > left)
        return 0;
    memcpy(text + 1, from, size);
    return codec_check(slice_make(text, size + 1)) ? 0 : size;
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
        size_t good = character(from, left);
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

int result_pack(gantry_job_t *job, enum stage_state state, const struct gantry_end *end)
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
    if (state == STATE_COMPLETED && end->output.size != m.output.size) {
        state = STATE_FAILED;
        end = &no_map;
    }
    parcel_start(&worker->items);
    if (state == STATE_FAILED) {
        size_t mark = parcel_mark(&worker->items);
        pack_fault(&worker->items, end);
        m.error = parcel_item(&worker->items, mark);
        m.output = (struct slice){ 0 };
    }
    m.state = slice_of(state_text((int)state));
    parcel_start(&worker->body);
    size_t mark = parcel_mark(&worker->body);
    msgpack_packer pk = parcel_packer(&worker->body);
    message_encode(&m_result_layout, &m, &pk);
    job->verb = VERB_DONE;
    if (worker->items.failed || worker->body.failed)
        return -ENOMEM;
    return job_keep_result(job, parcel_item(&worker->body, mark));
}

int result_pack_return(gantry_job_t *job)
{
    gantry_worker_t *worker = job->worker;
    struct m_handout m = {
        .id = slice_of(job->id),
        .task = slice_of(job->task),
        .session = worker_id(worker),
        .token = slice_make(job->token, sizeof job->token),
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

static void end_as(gantry_job_t *job, enum stage_state state, const struct gantry_end *end)
{
    assert(job->phase == JOB_RUNNING); /* a job ends once */
    end_job(job, job->lost ? 0 : result_pack(job, state, end));
}

void gantry_job_done(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, STATE_COMPLETED, end);
}

void gantry_job_skipped(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, STATE_SKIPPED, end);
}

void gantry_job_failed(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, STATE_FAILED, end);
}

void gantry_job_cancelled(gantry_job_t *self, const struct gantry_end *end)
{
    end_as(self, STATE_CANCELLED, end);
}

void gantry_job_return(gantry_job_t *self)
{
    assert(self->phase == JOB_RUNNING);
    end_job(self, self->lost ? 0 : result_pack_return(self));
}
