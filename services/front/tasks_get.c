/* GET /v1/tasks/{id}/status and /result. */
#include "common/scoped.h"
#include "common/status.h"
#include "proto/client.h"
#include "proto/context.h"
#include "services/front/tasks.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *status, *message;
} messages[] = {
    { "pending", "任务等待执行" },
    { "running", "任务正在执行" },
    { "completed", "任务执行完成" },
    { "cancelled", "任务已取消" },
};

static json_t *message_of(const gantry_record_t *record)
{
    const char *status = gantry_record_status(record);
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (strcmp(messages[i].status, status) == 0)
            return json_string(messages[i].message);
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        if (*stage->error_message)
            return json_sprintf("任务执行失败: %s: %s", stage->task, stage->error_message);
    }
    return json_string("任务执行失败");
}

/* When something happened to it last. */
static uint64_t stage_ms(const struct gantry_stage *stage)
{
    const uint64_t times[] = { stage->created_ms, stage->started_ms, stage->ended_ms };
    uint64_t latest = 0;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (times[i] > latest)
            latest = times[i];
    return latest;
}

static uint64_t updated_ms(const gantry_record_t *record)
{
    uint64_t latest = gantry_record_created_ms(record);
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const uint64_t ms = stage_ms(gantry_record_stage(record, i));
        if (ms > latest)
            latest = ms;
    }
    return latest;
}

/* The newest stage with a callback, NULL when none has one. */
static const struct gantry_stage *called_back(const gantry_record_t *record)
{
    const struct gantry_stage *newest = NULL;
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        if (*stage->callback && (!newest || stage_ms(stage) > stage_ms(newest)))
            newest = stage;
    }
    return newest;
}

/* callback: null or one of pending, sent, failed. */
static void answer_status(ask_t **self_p, const gantry_record_t *record, const char *callback)
{
    char created[32], updated[32];
    json_t *context = NULL, *files = NULL;
    int r = context_of(record, NULL, false, &context);
    if (r == 0)
        r = context_files(record, NULL, &files);
    if (r) {
        json_decref(context);
        ask_refuse_status(self_p, r);
        return;
    }
    (void)context_time(gantry_record_created_ms(record), created);
    ask_answer(self_p,
               json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:s?}", "task_id",
                         gantry_record_id(record), "status", gantry_record_status(record),
                         "message", message_of(record), "result", context, "minio_files", files,
                         "create_at", created, "created_at", created, "updated_at",
                         context_time(updated_ms(record), updated), "callback_status", callback));
}

static void end_record(void *kept)
{
    gantry_record_t *record = kept;
    gantry_record_destroy(&record);
}

/* The delivery's own task; one that is no longer kept says nothing. */
static const char *delivery_status(const gantry_record_t *delivery)
{
    const char *status = gantry_record_status(delivery);
    if (!context_is_final(status))
        return "pending";
    return strcmp(status, "completed") == 0 ? "sent" : "failed";
}

static void on_delivery(ask_t **self_p, int status, struct slice body)
{
    const gantry_record_t *record = ask_kept(*self_p);
    scoped(gantry_record) delivery = NULL;
    if (status == STATUS_NOT_FOUND)
        answer_status(self_p, record, NULL);
    else if (ask_record(self_p, status, body, &delivery))
        answer_status(self_p, record, delivery_status(delivery));
}

static void on_status(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    if (!ask_record(self_p, status, body, &record))
        return;
    const struct gantry_stage *stage = called_back(record);
    if (!stage) {
        answer_status(self_p, record, NULL);
    } else if (!*stage->callback_id) {
        answer_status(self_p, record, "pending");
    } else {
        ask_keep(*self_p, record, end_record);
        record = NULL; /* ends with the ask */
        ask_get(self_p, stage->callback_id, on_delivery);
    }
}

void tasks_status(request_t *request)
{
    ask_t *self = ask_new_task(request);
    if (self)
        ask_get(&self, ask_id(self), on_status);
}

static void on_result(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    json_t *context = NULL;
    if (!ask_record(self_p, status, body, &record))
        return;
    int r = context_of(record, ask_stage(*self_p), false, &context);
    if (r)
        ask_refuse_status(self_p, r);
    else
        ask_answer(self_p, context);
}

void tasks_result(request_t *request)
{
    ask_t *self = ask_new_task(request);
    if (self)
        ask_get(&self, ask_id(self), on_result);
}
