/* DELETE /v1/tasks/{id} stops a task, POST /v1/tasks/{id}/delete removes it. */
#include "common/scoped.h"
#include "common/status.h"
#include "proto/context.h"
#include "proto/json.h"
#include "services/front/tasks.h"
#include "services/front/tasks_body.h"

#include <errno.h>
#include <string.h>

/* ---- cancel ---------------------------------------------------------------------------------- */

/* The status of what the request is about; NULL: there is no such stage. */
static const char *status_of(const ask_t *self, const gantry_record_t *record)
{
    const char *wanted = ask_stage(self);
    if (!wanted)
        return gantry_record_status(record);
    const struct gantry_stage *stage = gantry_record_find(record, wanted);
    return stage ? context_status(stage->state) : NULL;
}

static void refuse_ended(ask_t **self_p, const char *status)
{
    ask_refuse(self_p, 400, "任务状态不允许取消: %s", status);
}

/* It ended between the look and the cancel. */
static void on_late(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    if (!ask_record(self_p, status, body, &record))
        return;
    const char *now = status_of(*self_p, record);
    if (now)
        refuse_ended(self_p, now);
    else
        ask_refuse_status(self_p, STATUS_NOT_FOUND);
}

static void on_cancelled(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    if (status == STATUS_CONFLICT) {
        ask_get(self_p, ask_id(*self_p), on_late);
        return;
    }
    if (!ask_record(self_p, status, body, &record))
        return;
    const char *now = status_of(*self_p, record);
    if (!now) {
        ask_refuse_status(self_p, STATUS_NOT_FOUND);
        return;
    }
    const char *message = strcmp(now, "cancelled") == 0 ? "任务已取消" : "任务正在取消";
    ask_answer(self_p, json_pack("{s:s, s:s, s:s}", "task_id", ask_id(*self_p), "status", now,
                                 "message", message));
}

/* The store takes a second cancel for the first; users are told that there is nothing to stop. */
static void on_record(ask_t **self_p, int status, struct slice body)
{
    scoped(gantry_record) record = NULL;
    if (!ask_record(self_p, status, body, &record))
        return;
    const char *now = status_of(*self_p, record);
    if (!now) {
        ask_refuse_status(self_p, STATUS_NOT_FOUND);
    } else if (context_is_final(now)) {
        refuse_ended(self_p, now);
    } else {
        const struct m_ref ref = { .id = slice_of(ask_id(*self_p)),
                                   .task = slice_of(ask_stage(*self_p)) };
        ask_begin(self_p, VERB_CANCEL, &m_ref_layout, &ref, on_cancelled);
    }
}

void tasks_cancel(request_t *request)
{
    ask_t *self = ask_new_task(request);
    if (self)
        ask_get(&self, ask_id(self), on_record);
}

/* ---- delete ---------------------------------------------------------------------------------- */

/* Takes results. NULL when out of memory. */
static json_t *forgotten_body(struct slice status, json_t *results)
{
    json_t *warnings = json_array();
    size_t index;
    const json_t *result;
    json_array_foreach (results, index, result) {
        const char *resource = json_string_value(json_object_get(result, "resource"));
        const char *message = json_string_value(json_object_get(result, "message"));
        const char *how = json_string_value(json_object_get(result, "status"));
        if (resource && message && how && strcmp(how, "failed") == 0)
            (void)json_array_append_new(warnings, json_sprintf("%s: %s", resource, message));
    }
    json_t *body = json_pack("{s:s%, s:o, s:o}", "status", status.data, status.size, "results",
                             results, "timestamp", ask_time());
    if (body && json_array_size(warnings))
        (void)json_object_set(body, "warnings", warnings);
    json_decref(warnings);
    return body;
}

static void on_forgotten(ask_t **self_p, int status, struct slice body)
{
    struct m_forgotten forgotten;
    json_t *results = NULL;
    if (status == STATUS_CONFLICT) {
        ask_refuse(self_p, 400, "任务尚未结束，请先取消任务，或使用 force=true 强制删除");
        return;
    }
    if (status == 0 && (message_decode(&m_forgotten_layout, body, &forgotten, NULL) ||
                        json_from_packed(forgotten.results, &results)))
        status = -EPROTO;
    if (status)
        ask_refuse_status(self_p, status);
    else
        ask_answer(self_p, forgotten_body(forgotten.status, results));
}

void tasks_delete(request_t *request)
{
    json_t *object = NULL;
    bool force = false;
    char detail[TASKS_DETAIL];
    ask_t *self = ask_new_task(request);
    if (!self)
        return;
    int r = tasks_object_read(request_body(request), &object, detail);
    if (r == 0)
        r = tasks_switch_read(object, "force", &force, detail);
    json_decref(object);
    if (r > 0) {
        ask_refuse(&self, 400, "%s", detail);
    } else if (r) {
        ask_refuse_status(&self, r);
    } else {
        const struct m_forget forget = { .id = slice_of(ask_id(self)), .force = force };
        ask_begin(&self, VERB_FORGET, &m_forget_layout, &forget, on_forgotten);
    }
}
