#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/client.h"
#include "proto/context.h"
#include "services/front/tasks.h"
#include "services/front/tasks_body.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { REFUSAL_MAX = 1500, AGAIN_MS = 1000, QUESTION_MAX = 512 };

struct ask {
    request_t *request;
    struct front *front;
    union {
        ask_told_fn *told;
        ask_receipt_fn *receipt;
    };
    void *kept;
    void (*end)(void *kept);
    char id[TASK_ID_MAX + 1];
    char stage[TASK_NAME_MAX + 1];
};

ask_t *ask_new(request_t *request)
{
    ask_t *self = calloc(1, sizeof *self);
    if (!self) {
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return NULL;
    }
    self->request = request;
    self->front = request_front(request);
    return self;
}

ask_t *ask_new_task(request_t *request)
{
    ask_t *self = ask_new(request);
    if (self)
        (void)ask_about(&self, request_part(request, "id"), request_query(request, "task_name"));
    return self;
}

/* The request is answered. */
static void ask_destroy(ask_t **self_p)
{
    ask_t *self = *self_p;
    *self_p = NULL;
    if (self->end)
        self->end(self->kept);
    free(self);
}

struct front *ask_front(const ask_t *self)
{
    return self->front;
}

const char *ask_id(const ask_t *self)
{
    return self->id;
}

const char *ask_stage(const ask_t *self)
{
    return self->stage[0] ? self->stage : NULL;
}

static void refuse_missing(ask_t **self_p, const char *id, const char *stage)
{
    if (stage)
        ask_refuse(self_p, 404, "任务不存在: %s (%s)", id, stage);
    else
        ask_refuse(self_p, 404, "任务不存在: %s", id);
}

bool ask_about(ask_t **self_p, const char *id, const char *stage)
{
    ask_t *self = *self_p;
    if (id &&
        (!task_id_valid(slice_of(id)) || !slice_copy(slice_of(id), self->id, sizeof self->id)))
        refuse_missing(self_p, id, NULL);
    else if (stage && *stage &&
             (!task_name_valid(slice_of(stage)) ||
              !slice_copy(slice_of(stage), self->stage, sizeof self->stage)))
        refuse_missing(self_p, self->id, stage);
    return *self_p != NULL;
}

bool ask_key(ask_t **self_p, const char **ret_key)
{
    const char *key = request_header((*self_p)->request, "Idempotency-Key");
    const bool sound = !key || tasks_key_valid(key);
    if (sound)
        *ret_key = key;
    else
        ask_refuse(self_p, 400,
                   "参数验证失败: Idempotency-Key: must be 1 to %d printable characters",
                   TASKS_KEY_MAX);
    return sound;
}

void ask_keep(ask_t *self, void *kept, void (*end)(void *kept))
{
    self->kept = kept;
    self->end = end;
}

void *ask_kept(const ask_t *self)
{
    return self->kept;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* The bodies of questions are small: they never want for memory. */
struct packed {
    size_t size;
    char bytes[QUESTION_MAX];
};

static int write_packed(void *arg, const char *bytes, size_t size)
{
    struct packed *self = arg;
    assert(size <= sizeof self->bytes - self->size);
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
    return 0;
}

int question_put(struct front *front, const struct question *question, gantry_called_fn *told,
                 void *arg)
{
    struct packed packed = { 0 };
    msgpack_packer pk;
    msgpack_packer_init(&pk, &packed, write_packed);
    if (question->layout)
        message_encode(question->layout, question->m, &pk);
    int r = gantry_call_begin(front->client, question->verb, "",
                              (struct gantry_bytes){ packed.bytes, packed.size },
                              question->timeout_ms, told, arg);
    if (r == 0)
        front->wake(front);
    return r;
}

static void on_told(void *arg, int status, struct gantry_bytes body)
{
    ask_t *self = arg;
    self->told(&self, status, slice_make(body.data, body.size));
}

void ask_begin(ask_t **self_p, uint32_t verb, const struct message_layout *layout, const void *m,
               ask_told_fn *told)
{
    ask_t *self = *self_p;
    const struct question question = { verb, layout, m, self->front->settings->front_answer_ms };
    self->told = told;
    int r = question_put(self->front, &question, on_told, self);
    if (r)
        ask_refuse_status(self_p, r);
    else
        *self_p = NULL; /* on_told has it */
}

void ask_get(ask_t **self_p, const char *id, ask_told_fn *told)
{
    const struct m_ref ref = { .id = slice_of(id) };
    ask_begin(self_p, VERB_GET, &m_ref_layout, &ref, told);
}

bool ask_record(ask_t **self_p, int status, struct slice body, gantry_record_t **ret_record)
{
    if (status == 0)
        status = record_new(body, ret_record);
    if (status)
        ask_refuse_status(self_p, status);
    return status == 0;
}

/* ---- submits --------------------------------------------------------------------------------- */

/* The one question whose asker cannot know whether it was heard. */
static void refuse_late(ask_t **self_p)
{
    scoped(ask) self = *self_p;
    *self_p = NULL;
    request_refuse(self->request, 503, AGAIN_MS,
                   "no answer within %lld ms: the task may have been accepted, and goes on then; "
                   "the same request with the same Idempotency-Key, or with the same task_id and "
                   "task_name, is safe to repeat",
                   (long long)self->front->settings->front_answer_ms);
}

static void refuse_wrong(ask_t **self_p, const char *field, const char *message)
{
    ask_refuse(self_p, 400, "参数验证失败: %s%s%s", field, *field ? ": " : "", message);
}

static void refuse_receipt(ask_t **self_p, const struct gantry_receipt *receipt)
{
    const int status = receipt->status;
    if (status == STATUS_TIMEOUT) {
        refuse_late(self_p);
        return;
    }
    if (status == STATUS_INVALID || status == STATUS_NOT_FOUND) {
        refuse_wrong(self_p, receipt->field, receipt->message);
        return;
    }
    scoped(ask) self = *self_p;
    *self_p = NULL;
    request_refuse_status(self->request, status, receipt->scope, receipt->retry_after_ms,
                          receipt->message);
}

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t count)
{
    ask_t *self = arg;
    (void)status; /* stands in the receipt too */
    (void)count;
    if (receipts[0].status)
        refuse_receipt(&self, &receipts[0]);
    else
        self->receipt(&self, &receipts[0]);
}

void ask_submit(ask_t **self_p, const struct gantry_task *task, ask_receipt_fn *kept)
{
    ask_t *self = *self_p;
    struct front *front = self->front;
    self->receipt = kept;
    int r = gantry_submit_begin(front->client, task, 1, front->settings->front_answer_ms,
                                on_submitted, self);
    if (r == STATUS_TOO_LARGE) {
        ask_refuse(self_p, 413, "input_data is larger than a message may be");
    } else if (r) {
        ask_refuse_status(self_p, r);
    } else {
        *self_p = NULL; /* on_submitted has it */
        front->wake(front);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

void ask_answer(ask_t **self_p, json_t *body)
{
    scoped(ask) self = *self_p;
    *self_p = NULL;
    if (body)
        request_answer(self->request, 200, body);
    else
        request_refuse_status(self->request, -ENOMEM, "", 0, "");
}

void ask_refuse(ask_t **self_p, int http, const char *format, ...)
{
    scoped(ask) self = *self_p;
    char text[REFUSAL_MAX];
    va_list args;
    *self_p = NULL;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    request_refuse(self->request, http, 0, "%s", text);
}

void ask_refuse_status(ask_t **self_p, int status)
{
    const struct gantry_error *error = gantry_client_error((*self_p)->front->client);
    if (status == STATUS_NOT_FOUND) {
        refuse_missing(self_p, ask_id(*self_p), ask_stage(*self_p));
        return;
    }
    if (status == STATUS_INVALID) {
        refuse_wrong(self_p, error->field, error->message);
        return;
    }
    scoped(ask) self = *self_p;
    *self_p = NULL;
    request_refuse_status(self->request, status, error->scope, error->retry_after_ms,
                          error->message);
}

json_t *ask_time(void)
{
    char text[32];
    return json_string(context_time((uint64_t)clock_wall_ms(), text));
}
