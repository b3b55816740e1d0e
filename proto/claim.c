/* The worker's credit: one claim at a time for all its free slots, and what comes of it. */
#include "proto/shift.h"

#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"

#include <assert.h>

enum { PAUSE_MS = 500 };

static const struct gantry_node *find_node(const gantry_worker_t *self, struct slice name)
{
    for (size_t i = 0; i < self->options.nodes_count; i++)
        if (slice_is(name, self->options.nodes[i].name))
            return &self->options.nodes[i];
    return NULL;
}

static void run(gantry_worker_t *self, gantry_job_t *job)
{
    self->running_count++;
    link_append(&self->running, &job->link);
    job->node->run(job, job->node->arg);
}

/* What cannot be run here goes back, and what lay unread until it may be somebody else's (this
 * process was stopped); what is held already came twice; what no job can be made for is missing in
 * the next heartbeat, and so goes back too. */
static void on_handout(gantry_worker_t *self, struct reader *items)
{
    struct m_handout handout;
    if (message_next(&m_handout_layout, items, &handout, NULL) ||
        !slice_equal(handout.session, worker_id(self)) || jobs_find(self->jobs, handout.token))
        return;
    gantry_job_t *job = jobs_add(self->jobs, &handout);
    if (!job)
        return;
    job->worker = self;
    job->node = find_node(self, handout.task);
    if (job->node && !self->draining && !self->drained && beat_confirmed(self) &&
        self->running_count < self->options.slots) {
        run(self, job);
        return;
    }
    self->running_count++;
    gantry_job_return(job);
}

static void on_tasks(void *arg, const struct header *header, struct slice body)
{
    gantry_worker_t *self = arg;
    struct reader reader;
    uint32_t count = 0;
    self->claim_open = false;
    self->claim_seq++;
    if (header->status || !codec_array(body, &reader, &count)) {
        self->claim_due_ms = self->now_ms + answer_retry_ms(header, body, PAUSE_MS);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        on_handout(self, &reader);
}

/* Claims only while the lease is known to be renewed: what would come under another could be
 * anybody's. */
static uint32_t wanted(const gantry_worker_t *self)
{
    uint32_t used = self->running_count;
    if (self->claim_open || self->draining || self->drained || !self->leased ||
        self->now_ms < self->claim_due_ms || !session_welcome(self->session) ||
        used >= self->options.slots || jobs_count(self->jobs) - used >= UNACKNOWLEDGED_MAX)
        return 0;
    uint32_t slots = self->options.slots - used;
    return slots < self->batch_max ? slots : self->batch_max;
}

void gantry_worker_rest(gantry_worker_t *self, int64_t rest_ms)
{
    int64_t due_ms = clock_ms() + rest_ms;
    if (due_ms > self->claim_due_ms)
        self->claim_due_ms = due_ms;
}

void claim_tick(gantry_worker_t *self)
{
    struct m_claim claim = { .session = worker_id(self),
                             .seq = self->claim_seq,
                             .worker = slice_of(self->name) };
    struct request request = { .verb = VERB_CLAIM, .count = wanted(self), .once = true };
    zmq_msg_t body;
    if (request.count == 0)
        return;
    parcel_start(&self->body);
    msgpack_packer pk = parcel_packer(&self->body);
    message_encode(&m_claim_layout, &claim, &pk);
    if (parcel_take_bare(&self->body, &body))
        return;
    self->claim_open = session_request(self->session, &request, &body, on_tasks, self) == 0;
    zmq_msg_close(&body);
    if (!self->claim_open)
        self->claim_due_ms = self->now_ms + PAUSE_MS;
}
