/* POST /v1/tasks. */
#include "common/scoped.h"
#include "common/status.h"
#include "proto/context.h"
#include "services/front/tasks.h"
#include "services/front/tasks_body.h"

#include <string.h>

static const struct {
    const char *reuse, *status, *message;
} answers[] = {
    { "miss", "pending", "任务已创建并开始执行" },
    { "wait", "pending", "任务已存在执行中，等待完成后回调" },
    { "hit", "completed", "任务已命中缓存并完成回调" },
};
enum { MISS, WAIT, HIT };

/* result is taken; NULL: none. */
static void answer(ask_t **self_p, int how, const struct gantry_stage *stage, json_t *result)
{
    const ask_t *self = *self_p;
    json_t *info = context_reuse(answers[how].reuse, ask_stage(self), stage);
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:o}", "task_id", ask_id(self), "status", answers[how].status,
                  "message", answers[how].message, "reuse_info", info);
    if (result && json_object_set_new(body, "result", result)) {
        json_decref(body);
        body = NULL;
    }
    ask_answer(self_p, body);
}

static void on_hit(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    json_t *result = NULL;
    if (!ask_record(self_p, status, body, &record))
        return;
    const char *task = ask_stage(*self_p);
    const bool only = strcmp(ask_front(*self_p)->settings->reuse_result_stages, "requested") == 0;
    int r = context_of(record, task, only, &result);
    if (r)
        ask_refuse_status(self_p, r);
    else
        answer(self_p, HIT, gantry_record_find(record, task), result);
}

static void on_kept(ask_t **self_p, const struct gantry_receipt *receipt)
{
    if (!ask_about(self_p, receipt->id, NULL))
        return;
    if (strcmp(receipt->reuse, "hit") == 0)
        ask_get(self_p, receipt->id, on_hit);
    else
        answer(self_p, strcmp(receipt->reuse, "wait") == 0 ? WAIT : MISS, NULL, NULL);
}

/* False: the request was refused. */
static bool apply_key(ask_t **self_p, struct gantry_task *task, struct tasks_ticket *ticket)
{
    const char *key = NULL;
    if (!ask_key(self_p, &key))
        return false;
    if (!key)
        return true;
    int r = tasks_ticket(key, task->id, task->task, ticket);
    if (r) {
        ask_refuse_status(self_p, r);
        return false;
    }
    if (!task->id)
        task->id = ticket->id;
    task->token = ticket->token;
    return true;
}

void tasks_post(request_t *request)
{
    scoped_in(tasks_body) body = { 0 };
    struct tasks_ticket ticket;
    char detail[TASKS_DETAIL];
    ask_t *self = ask_new(request);
    if (!self)
        return;
    const uint64_t start_ms = (uint64_t)ask_front(self)->settings->front_start_ms;
    int r = tasks_body_read(&body, request_body(request), start_ms, detail);
    if (r > 0)
        ask_refuse(&self, 400, "%s", detail);
    else if (r)
        ask_refuse_status(&self, r);
    else if (apply_key(&self, &body.task, &ticket) && ask_about(&self, NULL, body.task.task))
        ask_submit(&self, &body.task, on_kept);
}
