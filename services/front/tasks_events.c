/* GET /v1/tasks/{id}/events: what happens to a task, as server-sent events. One question at a time
 * is open at the brokers, either a look (the record as it is, and a number) or the updates after a
 * number, for which they keep it until there are some. */
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/client.h"
#include "proto/context.h"
#include "services/front/tasks.h"
#include "services/front/tasks_event.h"

#include <errno.h>
#include <string.h>

enum { QUIET_MS = 15000, PROGRESS_MS = 1000, AT_ONCE_MS = 1, AGAIN_MS = 1000 };

/* Lives while any of request, asked and turning is set. */
struct stream {
    request_t *request; /* NULL: it was answered without a stream, or is gone */
    struct front *front;
    bool opened;      /* the request is a stream */
    bool over;        /* and has got all that it gets */
    bool asked;       /* a question is open */
    bool turning;     /* an answer is being looked at, within which the request may go */
    bool looking;     /* the question is, or will be, a look */
    bool running;     /* the task was, when last seen */
    bool final;       /* likewise, and no update has come since */
    uint64_t since;   /* number of the last update told; 0: none, a snapshot comes first */
    uint64_t target;  /* once all up to this is told, there is nothing more; 0: not known */
    json_t *progress; /* of each stage, as told last */
    uv_timer_t timer; /* the same question once more */
    char id[TASK_ID_MAX + 1];
    char status[16]; /* of the task, when last seen */
};

/* ---- its life -------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void leave_if_over(struct stream *self)
{
    if (self->request || self->asked || self->turning)
        return;
    json_decref(self->progress);
    uv_close((uv_handle_t *)&self->timer, on_timer_closed);
}

/* The request is gone. */
static void on_closed(void *arg)
{
    struct stream *self = arg;
    self->request = NULL;
    (void)uv_timer_stop(&self->timer);
    leave_if_over(self);
}

static bool is_open(const struct stream *self)
{
    return self->request && !self->over;
}

static void end(struct stream *self)
{
    self->over = true;
    request_end(self->request);
}

/* Takes text, which is NULL when memory ran out: its reader may come again. */
static void tell(struct stream *self, char *text)
{
    scoped_text char *owned = text;
    if (!is_open(self))
        return;
    if (!owned)
        end(self);
    else if (!request_send(self->request, slice_of(owned)))
        self->over = true; /* and closed soon */
}

/* ---- questions ------------------------------------------------------------------------------- */

static void on_told(void *arg, int status, struct gantry_bytes body);
static void on_timer(uv_timer_t *timer);

/* The brokers do not answer, or refuse. A stream outlasts that. */
static void bear(struct stream *self, int status)
{
    const struct gantry_error *error = gantry_client_error(self->front->client);
    if (!self->opened) {
        if (status == STATUS_NOT_FOUND)
            request_refuse(self->request, 404, 0, "任务不存在: %s", self->id);
        else
            request_refuse_status(self->request, status, error->scope, error->retry_after_ms,
                                  error->message);
        self->request = NULL;
        return;
    }
    if (status == STATUS_NOT_FOUND) { /* by now */
        tell(self, event_end(self->id, "deleted"));
        if (is_open(self))
            end(self);
        return;
    }
    tell(self, strdup(": no answer, asking again\n\n"));
    if (is_open(self))
        (void)uv_timer_start(&self->timer, on_timer, AGAIN_MS, 0);
}

static void ask(struct stream *self)
{
    const uint32_t wait_ms = self->looking || self->target ? AT_ONCE_MS
                             : self->running               ? PROGRESS_MS
                                                           : QUIET_MS;
    const struct m_subscribe m = { .since = self->looking ? 0 : self->since,
                                   .id = slice_of(self->id),
                                   .timeout_ms = wait_ms };
    const struct question question = { VERB_SUBSCRIBE, &m_subscribe_layout, &m,
                                       wait_ms + self->front->settings->front_answer_ms };
    int r = question_put(self->front, &question, on_told, self);
    self->asked = r == 0;
    if (r)
        bear(self, r);
}

static void on_timer(uv_timer_t *timer)
{
    struct stream *self = timer->data;
    self->turning = true;
    if (is_open(self))
        ask(self);
    self->turning = false;
    leave_if_over(self);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void tell_progress(struct stream *self, const gantry_record_t *record)
{
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        const double told = json_real_value(json_object_get(self->progress, stage->task));
        if (strcmp(stage->state, "running") != 0 || stage->progress == told)
            continue;
        (void)json_object_set_new(self->progress, stage->task, json_real(stage->progress));
        tell(self, event_progress(stage));
    }
}

static void finish(struct stream *self)
{
    tell(self, event_end(self->id, self->status));
    if (is_open(self))
        end(self);
}

static void note(struct stream *self, const gantry_record_t *record)
{
    (void)slice_copy(slice_of(gantry_record_status(record)), self->status, sizeof self->status);
    self->final = context_is_final(self->status);
    self->running = strcmp(self->status, "running") == 0;
}

/* It holds all that was up to its number. */
static void on_snapshot(struct stream *self, const gantry_record_t *record, uint64_t seq)
{
    note(self, record);
    self->since = seq;
    self->target = 0;
    self->looking = false;
    tell(self, event_snapshot(record, seq));
    if (self->final)
        finish(self);
}

/* Of a final task the last update may not be told yet. Its number is not past the one that a second
 * look answers, which is asked for only now. */
static void on_look(struct stream *self, const gantry_record_t *record, uint64_t seq)
{
    const bool was_final = self->final;
    note(self, record);
    tell_progress(self, record);
    self->looking = self->final && !was_final;
    self->target = self->final && was_final ? seq : 0;
    if (self->target && self->since >= self->target)
        finish(self);
}

static void on_record(struct stream *self, const gantry_record_t *record, uint64_t seq)
{
    if (!self->opened) {
        self->opened = true;
        request_stream(self->request, on_closed, self);
    }
    if (self->looking && self->since)
        on_look(self, record, seq);
    else
        on_snapshot(self, record, seq);
}

static void on_nothing(struct stream *self, bool told_all)
{
    if (told_all)
        finish(self);
    else if (!self->target)
        self->looking = self->running;
}

/* 0 or -EPROTO. */
static int on_items(struct stream *self, const struct m_updates *updates)
{
    struct reader reader;
    struct m_update update;
    uint32_t count = 0;
    if (updates->items.size && !codec_array(updates->items, &reader, &count))
        return -EPROTO;
    for (uint32_t i = 0; i < count; i++) {
        if (message_next(&m_update_layout, &reader, &update, NULL))
            return -EPROTO;
        tell(self, event_update(&update));
    }
    if (updates->seq > self->since)
        self->since = updates->seq;
    const bool told_all = self->target && self->since >= self->target;
    if (count == 0) {
        on_nothing(self, told_all);
    } else if (told_all || !self->target) {
        self->looking = true; /* it may run again by now */
        self->final = told_all;
        self->target = 0;
    }
    return 0;
}

/* 0 or -errno. */
static int on_answer(struct stream *self, struct slice body)
{
    struct m_updates updates;
    scoped(gantry_record) record = NULL;
    if (message_decode(&m_updates_layout, body, &updates, NULL))
        return -EPROTO;
    if (!updates.snapshot.size)
        return on_items(self, &updates);
    int r = record_new(updates.snapshot, &record);
    if (r == 0)
        on_record(self, record, updates.seq);
    return r;
}

static void on_told(void *arg, int status, struct gantry_bytes body)
{
    struct stream *self = arg;
    self->asked = false;
    self->turning = true;
    if (is_open(self) && status == 0)
        status = on_answer(self, slice_make(body.data, body.size));
    if (is_open(self) && status)
        bear(self, status);
    else if (is_open(self))
        ask(self);
    self->turning = false;
    leave_if_over(self);
}

void tasks_events(request_t *request)
{
    const char *last = request_header(request, "Last-Event-ID");
    struct stream *self = NULL;
    uint64_t since = 0;
    if (!task_id_valid(slice_of(request_part(request, "id"))))
        request_refuse(request, 404, 0, "任务不存在: %s", request_part(request, "id"));
    else if (!event_number(last ? last : request_query(request, "since"), &since))
        request_refuse(request, 400, 0, "参数验证失败: Last-Event-ID: must be a number");
    else if (!(self = calloc(1, sizeof *self)))
        request_refuse_status(request, -ENOMEM, "", 0, "");
    if (!self)
        return;
    self->request = request;
    self->front = request_front(request);
    self->since = since;
    self->looking = true;
    self->progress = json_object();
    (void)slice_copy(slice_of(request_part(request, "id")), self->id, sizeof self->id);
    (void)uv_timer_init(program_loop(self->front->program), &self->timer);
    self->timer.data = self;
    on_timer(&self->timer); /* asks */
}
