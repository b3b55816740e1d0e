#include "services/worker/shop.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/storage/storage.h"
#include "common/storage/tree.h"
#include "proto/codec.h"
#include "services/worker/env.h"
#include "services/worker/hand_over.h"
#include "services/worker/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct settings *settings_of(const run_t *self)
{
    return self->shop->row.settings;
}

/* ---- the hand-over --------------------------------------------------------------------------- */

/* In a thread: files that were made go to their place, and the attempt's folder goes away. */
static void close_folder(uv_work_t *task)
{
    run_t *self = task->data;
    const struct hand_over row = { self->work, self->folder, self->messages.files, self->until_ms,
                                   (uint64_t)settings_of(self)->quota_task_bytes };
    if (self->kind == VERDICT_DONE) {
        int r = hand_over(&row, &self->fault);
        if (r)
            self->kind = r == STATUS_STALE ? VERDICT_RETURN
                         : is_trouble(r)   ? VERDICT_RETRY
                                           : VERDICT_FAILED;
    }
    /* A FORGET that had not come to its end when a new task of this id began took it away. */
    if (self->kind == VERDICT_FAILED && access(self->work, F_OK) && errno == ENOENT)
        self->kind = VERDICT_RETRY;
    (void)tree_remove(AT_FDCWD, self->work); /* what stays is swept by clean-up */
}

static void on_folder_closed(uv_work_t *task, int status)
{
    (void)status;
    run_t *self = task->data;
    if (self->job)
        run_finish(&self);
    else
        run_destroy(&self);
}

static void close_run(run_t *self)
{
    (void)uv_timer_stop(&self->limit);
    self->until_ms = self->shop->confirmed_until_ms;
    if (self->work[0])
        (void)uv_queue_work(self->shop->row.loop, &self->task, close_folder, on_folder_closed);
    else
        run_finish(&self);
}

/* ---- the engine ------------------------------------------------------------------------------ */

static bool on_said(void *arg, struct slice bytes)
{
    run_t *self = arg;
    if (!self->facts.unreadable)
        self->facts.unreadable = messages_read(&self->messages, bytes);
    if (self->facts.unreadable)
        return false;
    gantry_job_progress(self->job, self->messages.progress);
    return true;
}

static void on_ended(void *arg, const struct child_end *end)
{
    run_t *self = arg;
    self->wall_ms = clock_ms() - self->begin_ms;
    self->end = *end;
    if (!self->facts.unreadable && !end->report.signal) /* a kill leaves half a message */
        self->facts.unreadable = messages_end(&self->messages);
    self->facts.messages = &self->messages;
    self->facts.end = &self->end;
    self->kind = verdict_of(&self->facts, &self->fault);
    child_destroy(&self->child);
    run_go_on(self);
}

/* Files are put in place only under a lease that the store confirmed: another worker may have the
 * stage already while only ours cannot reach the store. */
void run_go_on(run_t *self)
{
    bool moves = self->kind == VERDICT_DONE && self->messages.files.size;
    self->waiting = moves && clock_ms() >= self->shop->confirmed_until_ms;
    if (self->waiting)
        (void)uv_timer_stop(&self->limit);
    else
        close_run(self);
}

static void on_limit(uv_timer_t *timer)
{
    run_t *self = timer->data;
    self->facts.late_ms = (uint32_t)uv_timer_get_repeat(timer);
    (void)uv_timer_stop(timer);
    child_stop(self->child, settings_of(self)->worker_grace_ms);
}

static int start_engine(run_t *self)
{
    const struct env_row variables = { settings_of(self), self->id,     self->row->name,
                                       self->attempt,     self->folder, self->work };
    scoped(env) env = env_new(&variables);
    if (!env)
        return -ENOMEM;
    const char *const command[] = { self->shop->engine, self->row->name, NULL };
    const struct child_row row = {
        .loop = self->shop->row.loop,
        .launcher = self->shop->launcher,
        .command = command,
        .env = env_list(env),
        .folder = self->work,
        .input = packed_slice(&self->inputs),
        .until_ms = self->shop->until_ms,
        .grace_ms = settings_of(self)->worker_grace_ms,
        .said = on_said,
        .ended = on_ended,
        .arg = self,
    };
    self->begin_ms = clock_ms();
    return child_start(&row, &self->child);
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* NULL when there is none. */
static const char *legacy_folder(const run_t *self, char path[PATH_MAX])
{
    const char *top = settings_of(self)->storage_legacy;
    return *top && snprintf(path, PATH_MAX, "%s/%s", top, self->id) < PATH_MAX ? path : NULL;
}

/* In a thread, for a shared disk may take its time. */
static void prepare(uv_work_t *task)
{
    run_t *self = task->data;
    int r = storage_task_folder(settings_of(self)->storage_root, slice_of(self->id), self->folder);
    if (r == 0)
        r = storage_attempt_folder(self->folder, self->row->name, self->attempt, self->work);
    if (r) {
        self->work[0] = '\0';
        self->fault.code = r;
        self->kind = is_trouble(r) ? VERDICT_TROUBLE : VERDICT_FAILED;
        (void)snprintf(self->fault.message, sizeof self->fault.message,
                       "the task's folder beneath %.200s cannot be made: %s",
                       settings_of(self)->storage_root,
                       r < 0 ? strerror(-r) : "something else has its name");
        return;
    }
    char legacy[PATH_MAX];
    const struct inputs_places places = { self->folder, self->shop->roots, true,
                                          legacy_folder(self, legacy) };
    if (inputs_resolve(self->row, &places, packed_slice(&self->given), &self->inputs, &self->fault))
        self->kind = VERDICT_FAILED;
    msgpack_packer pk = packed_packer(&self->inputs);
    pack_raw(&pk, packed_slice(&self->before));
    if (self->inputs.failed && !self->fault.code) {
        self->fault.code = -ENOMEM;
        self->kind = VERDICT_TROUBLE;
    }
}

/* Whoever forgets a task while it begins takes its folder away: no trouble of the machine's, which
 * would rest for it. */
static void not_started(run_t *self, int problem)
{
    const bool gone = problem == -ENOENT && access(self->shop->launcher, X_OK) == 0;
    self->kind = gone ? VERDICT_RETRY : VERDICT_TROUBLE;
    self->fault.code = STATUS_UNAVAILABLE;
    (void)snprintf(self->fault.message, sizeof self->fault.message, "%s: %s",
                   gone ? "the task's folder is gone" : "the launcher cannot be started",
                   strerror(-problem));
}

static void on_prepared(uv_work_t *task, int status)
{
    (void)status;
    run_t *self = task->data;
    if (!self->job) {
        run_destroy(&self);
        return;
    }
    if (self->facts.stopped) {
        self->kind = self->facts.why == GANTRY_STOP_CANCEL ? VERDICT_CANCELLED : VERDICT_RETURN;
        close_run(self);
        return;
    }
    if (self->fault.code) {
        close_run(self);
        return;
    }
    int r = start_engine(self);
    if (r) {
        not_started(self, r);
        close_run(self);
        return;
    }
    uint32_t limit_ms = gantry_job_timeout_ms(self->job);
    limit_ms = limit_ms ? limit_ms : self->row->timeout_ms;
    if (limit_ms)
        (void)uv_timer_start(&self->limit, on_limit, limit_ms, limit_ms);
}

/* Done here and now; nothing of it touches a file. */
static void run_inline(gantry_job_t *job, const struct shop_node *node, struct slice inputs)
{
    scoped_in(packed) output = { 0 };
    msgpack_packer pk = packed_packer(&output);
    int r = node->row->run(inputs, &pk);
    const struct slice made = packed_slice(&output);
    struct gantry_end end = { .output = { made.data, made.size } };
    if (r == 0 && made.size) {
        gantry_job_done(job, &end);
    } else {
        end.code = r > 0 ? r : STATUS_INTERNAL;
        gantry_job_failed(job, &end);
    }
    node->shop->row.ended(node->shop->row.arg);
}

/* Within this process, by the row's function or among its asynchronous jobs. */
static void run_within(gantry_job_t *job, const struct shop_node *node)
{
    struct gantry_bytes input = gantry_job_input(job);
    const struct inputs_places nowhere = { "", "", false, NULL };
    struct fault fault = { 0 };
    scoped_in(packed) inputs = { 0 };
    int r =
        inputs_resolve(node->row, &nowhere, slice_make(input.data, input.size), &inputs, &fault);
    if (r == 0 && node->row->async) {
        node->row->async->begin(node->shared, job, packed_slice(&inputs));
    } else if (r == 0) {
        run_inline(job, node, packed_slice(&inputs));
    } else {
        const struct gantry_end end = { .code = r > 0 ? r : STATUS_INTERNAL,
                                        .message = fault.message,
                                        .field = fault.field[0] ? fault.field : NULL };
        gantry_job_failed(job, &end);
        node->shop->row.ended(node->shop->row.arg);
    }
}

void run_begin(gantry_job_t *job, void *arg)
{
    const struct shop_node *node = arg;
    gantry_job_set_user(job, NULL);
    if (node->row->run || node->row->async) {
        run_within(job, node);
        return;
    }
    run_t *self = run_new(job, node);
    if (!self) {
        log_event_seldom(LOG_LEVEL_ERROR, "no_memory", "id=%s", gantry_job_id(job));
        gantry_job_return(job);
        return;
    }
    gantry_job_set_user(job, self);
    (void)uv_queue_work(node->shop->row.loop, &self->task, prepare, on_prepared);
}

void run_stop(gantry_job_t *job, enum gantry_stop why, void *arg)
{
    const struct shop_node *node = arg;
    if (node->row->async) {
        node->row->async->stop(node->shared, job, why);
        return;
    }
    run_t *self = gantry_job_user(job);
    if (!self || (self->facts.stopped && self->facts.why == GANTRY_STOP_STALE))
        return;
    self->facts.stopped = true;
    self->facts.why = why;
    if (self->child && why == GANTRY_STOP_STALE)
        child_kill(self->child);
    else if (self->child)
        child_stop(self->child, settings_of(self)->worker_grace_ms);
    if (!self->waiting)
        return;
    self->waiting = false;
    self->kind = why == GANTRY_STOP_CANCEL ? VERDICT_CANCELLED : VERDICT_RETURN;
    close_run(self);
}
