/* POST /v1/tasks/{id}/retry: what a stage was asked for, once more, as a task of its own. */
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/context.h"
#include "services/front/tasks.h"
#include "services/front/tasks_body.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool completed(const struct gantry_stage *stage)
{
    return strcmp(context_status(stage->state), "completed") == 0;
}

/* The newest stage that did not complete; when all did, the newest. */
static const struct gantry_stage *choose(const gantry_record_t *record)
{
    const struct gantry_stage *chosen = NULL;
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        if (!completed(stage) && (!chosen || stage->ended_ms >= chosen->ended_ms))
            chosen = stage;
    }
    return chosen ? chosen : context_newest(record);
}

static void on_kept(ask_t **self_p, const struct gantry_receipt *receipt)
{
    const char *id = ask_id(*self_p);
    ask_answer(self_p, json_pack("{s:s, s:s, s:s, s:o}", "task_id", receipt->id, "original_task_id",
                                 id, "status", "pending", "message",
                                 json_sprintf("任务重试已开始，原任务ID: %s", id)));
}

/* The four bytes at the end of the new id: at random, or as the Idempotency-Key says. 0 or -errno.
 */
static int draw(const ask_t *self, const struct gantry_stage *stage, struct tasks_ticket *ticket)
{
    const char *key = ask_kept(self);
    return key ? tasks_ticket(key, ask_id(self), stage->task, ticket)
               : mint_bytes(ticket->token, sizeof ticket->token);
}

static void submit(ask_t **self_p, const struct gantry_stage *stage)
{
    char id[TASK_ID_MAX + 32];
    struct tasks_ticket ticket;
    enum gantry_priority priority = GANTRY_NORMAL;
    (void)tasks_priority_read(stage->priority, &priority);
    int r = draw(*self_p, stage, &ticket);
    if (r) {
        ask_refuse_status(self_p, r);
        return;
    }
    (void)snprintf(id, sizeof id, "%s-retry-%02x%02x%02x%02x", ask_id(*self_p), ticket.token[0],
                   ticket.token[1], ticket.token[2], ticket.token[3]);
    if (!task_id_valid(slice_of(id))) {
        ask_refuse(self_p, 400, "参数验证失败: task_id: %s is too long to be retried", id);
        return;
    }
    const struct gantry_task task = {
        .id = id,
        .task = stage->task,
        .input = stage->input,
        .priority = priority,
        .timeout_ms = stage->timeout_ms,
        .owner = *stage->owner ? stage->owner : NULL,
        .token = ticket.token,
        .schedule_to_start_ms = (uint64_t)ask_front(*self_p)->settings->front_start_ms,
        .callback = *stage->callback ? stage->callback : NULL,
        .reuse = "never",
    };
    ask_submit(self_p, &task, on_kept);
}

static void on_record(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    if (!ask_record(self_p, status, body, &record))
        return;
    const char *wanted = ask_stage(*self_p);
    const struct gantry_stage *stage = wanted ? gantry_record_find(record, wanted) : choose(record);
    if (!stage) {
        ask_refuse_status(self_p, STATUS_NOT_FOUND);
        return;
    }
    if (strcmp(stage->task, TASKS_DELIVERY) == 0) {
        ask_refuse(self_p, 400, "参数验证失败: task_id: %s is that of a callback", ask_id(*self_p));
        return;
    }
    if (strcmp(stage->task, TASKS_CLEANUP) == 0) {
        ask_refuse(self_p, 400, "参数验证失败: task_id: %s is a clean-up", ask_id(*self_p));
        return;
    }
    const char *state = wanted ? context_status(stage->state) : gantry_record_status(record);
    if (context_is_final(state))
        submit(self_p, stage);
    else
        ask_refuse(self_p, 400, "任务状态不允许重试: %s", state);
}

/* False: memory ran out. */
static bool keep_key(ask_t *self, const char *key)
{
    char *kept = key ? strdup(key) : NULL;
    ask_keep(self, kept, free);
    return kept || !key;
}

static void begin(ask_t **self_p, const char *stage)
{
    const char *key = NULL;
    if (!ask_key(self_p, &key) || !ask_about(self_p, NULL, stage))
        return;
    if (keep_key(*self_p, key))
        ask_get(self_p, ask_id(*self_p), on_record);
    else
        ask_refuse_status(self_p, -ENOMEM);
}

void tasks_retry(request_t *request)
{
    json_t *object = NULL;
    const char *stage = NULL;
    char detail[TASKS_DETAIL];
    ask_t *self = ask_new_task(request);
    if (!self)
        return;
    int r = tasks_object_read(request_body(request), &object, detail);
    if (r == 0)
        r = tasks_text_read(object, "task_name", &stage, detail);
    if (r > 0)
        ask_refuse(&self, 400, "%s", detail);
    else if (r)
        ask_refuse_status(&self, r);
    else
        begin(&self, stage);
    json_decref(object);
}
