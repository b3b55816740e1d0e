/* The calls about one task: get, wait, cancel. */
#include "proto/client.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

enum {
    WAIT_MS = 60000, /* longest that a state service parks a WAIT */
    WAIT_SLACK_MS =
        15000, /* for the answer's way: after it the answer counts as lost and is asked for again */
    LOST_MS = 40000, /* longer than a broker holds a request: its answer was lost, ask again */
    PAUSE_MS = 500,  /* after a refusal that does not say when to come again */
};

/* A wait that outlives its requests: asked again until the stage has ended or its time is over. */
struct waiting {
    struct later later;
    gantry_client_t *client;
    int64_t deadline_ms;
    gantry_waited_fn *done; /* NULL: somebody blocks, and takes status and record from here */
    void *arg;
    bool ended;
    int status;
    gantry_record_t *record;
    char id[129];
    char task[65];
};

static int pack(gantry_client_t *self, const struct message_layout *layout, const void *m,
                zmq_msg_t *ret_body)
{
    parcel_start(&self->parcel);
    msgpack_packer pk = parcel_packer(&self->parcel);
    message_encode(layout, m, &pk);
    return parcel_take_bare(&self->parcel, ret_body);
}

static int names_fit(gantry_client_t *self, const char *id, const char *task)
{
    if (!id || !*id || strlen(id) > 128)
        return client_wrong(self, STATUS_INVALID, "id", "a task id has 1 to 128 characters");
    if (task && strlen(task) > 64)
        return client_wrong(self, STATUS_INVALID, "task",
                            "a stage's name has at most 64 characters");
    return 0;
}

static int ask_once(gantry_client_t *self, const struct request *request, const struct m_ref *ref,
                    struct reply *ret_reply)
{
    parcel_start(&self->parcel);
    msgpack_packer pk = parcel_packer(&self->parcel);
    size_t mark = parcel_mark(&self->parcel);
    message_encode(&m_ref_layout, ref, &pk);
    if (self->parcel.failed)
        return -ENOMEM;
    return client_call(self, request, parcel_item(&self->parcel, mark), ret_reply);
}

static int ask(gantry_client_t *self, uint32_t verb, const struct m_ref *ref, int64_t timeout_ms,
               gantry_record_t **ret_record)
{
    int64_t deadline = client_deadline(timeout_ms);
    for (;;) {
        scoped_in(reply) reply = { 0 };
        int64_t time = deadline - clock_ms();
        struct request request = { .verb = verb, .timeout_ms = time < 1 ? 1 : time };
        if (time > LOST_MS)
            request.timeout_ms = LOST_MS;
        int r = ask_once(self, &request, ref, &reply);
        if (r == STATUS_TIMEOUT && time > LOST_MS)
            continue;
        if (r == 0 && ret_record)
            r = record_new(slice_make(reply.body, reply.size), ret_record);
        return r;
    }
}

int gantry_get(gantry_client_t *self, const char *id, int64_t timeout_ms,
               gantry_record_t **ret_record)
{
    struct m_ref ref = { .id = slice_of(id) };
    int r = names_fit(self, id, NULL);
    return r ? r : ask(self, VERB_GET, &ref, timeout_ms, ret_record);
}

int gantry_cancel(gantry_client_t *self, const char *id, const char *task, int64_t timeout_ms,
                  gantry_record_t **ret_record)
{
    struct m_ref ref = { .id = slice_of(id), .task = slice_of(task) };
    int r = names_fit(self, id, task);
    return r ? r : ask(self, VERB_CANCEL, &ref, timeout_ms, ret_record);
}

static void end(struct waiting *self, int status)
{
    self->client->heard++;
    self->status = status;
    self->ended = true;
    if (!self->done)
        return;
    self->client->open--;
    self->done(self->arg, status, self->record);
    gantry_record_destroy(&self->record);
    free(self);
}

static void on_record(void *arg, const struct header *header, struct slice body);

static int64_t left(const struct waiting *self)
{
    return self->deadline_ms - clock_ms();
}

/* 0; STATUS_BUSY or -ENOMEM: nothing was asked. */
static int ask_wait(struct waiting *self)
{
    int64_t time = left(self);
    struct m_wait wait = { .id = slice_of(self->id), .task = slice_of(self->task) };
    struct request request = { .verb = VERB_WAIT };
    zmq_msg_t body;
    wait.timeout_ms = time < 1 ? 1 : time < WAIT_MS ? (uint32_t)time : WAIT_MS;
    request.timeout_ms = time < 1                         ? 1
                         : time < WAIT_MS + WAIT_SLACK_MS ? time
                                                          : WAIT_MS + WAIT_SLACK_MS;
    int r = pack(self->client, &m_wait_layout, &wait, &body);
    if (r)
        return r;
    r = client_request(self->client, &request, &body, on_record, self);
    zmq_msg_close(&body);
    return r;
}

static void ask_again(struct later *later)
{
    struct waiting *self = link_owner(&later->link, struct waiting, later.link);
    if (self->client->ending) {
        end(self, STATUS_UNAVAILABLE);
    } else if (left(self) <= 0) {
        end(self, client_wrong(self->client, STATUS_TIMEOUT, "", status_text(STATUS_TIMEOUT)));
    } else {
        int r = ask_wait(self);
        if (r)
            end(self, r);
    }
}

static void pause_and_ask(struct waiting *self)
{
    int64_t pause = self->client->error.retry_after_ms;
    int64_t time = left(self);
    if (pause <= 0)
        pause = PAUSE_MS;
    self->later.wake = ask_again;
    client_later(self->client, &self->later, clock_ms() + (pause < time ? pause : time));
}

static void on_record(void *arg, const struct header *header, struct slice body)
{
    struct waiting *self = arg;
    if (header->status == 0) {
        end(self, record_new(body, &self->record));
        return;
    }
    client_refused(self->client, header->status, body);
    if (self->client->ending)
        end(self, STATUS_UNAVAILABLE);
    else if (header->status == STATUS_UNAVAILABLE || header->status == STATUS_BUSY)
        pause_and_ask(self);
    else if (header->status == STATUS_TIMEOUT && left(self) > 0)
        ask_again(&self->later);
    else
        end(self, (int)header->status);
}

static int start(struct waiting *self, const char *id, const char *task, int64_t timeout_ms)
{
    int r = names_fit(self->client, id, task);
    if (r)
        return r;
    if (self->client->ending)
        return STATUS_UNAVAILABLE;
    link_init(&self->later.link);
    self->deadline_ms = client_deadline(timeout_ms);
    slice_copy(slice_of(id), self->id, sizeof self->id);
    slice_copy(slice_of(task), self->task, sizeof self->task);
    r = ask_wait(self);
    return r > 0 ? client_wrong(self->client, r, "", "too many calls are open") : r;
}

int gantry_wait(gantry_client_t *self, const char *id, const char *task, int64_t timeout_ms,
                gantry_record_t **ret_record)
{
    struct waiting waiting = { .client = self };
    if (self->turning)
        return -EDEADLK;
    int r = start(&waiting, id, task, timeout_ms);
    if (r == 0)
        r = client_block(self, &waiting.ended);
    if (r == 0)
        r = waiting.status;
    if (r == 0 && ret_record)
        *ret_record = waiting.record;
    else
        gantry_record_destroy(&waiting.record);
    return r;
}

int gantry_wait_begin(gantry_client_t *self, const char *id, const char *task, int64_t timeout_ms,
                      gantry_waited_fn *done, void *arg)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting)
        return -ENOMEM;
    waiting->client = self;
    waiting->done = done;
    waiting->arg = arg;
    int r = start(waiting, id, task, timeout_ms);
    if (r)
        free(waiting);
    else
        self->open++;
    return r;
}
