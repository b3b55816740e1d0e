/* A schedule is due: its task is submitted, and its next slot set, in one call. Whoever calls first
 * fires; the others find another slot there. */
#include "common/clock.h"
#include "common/log.h"
#include "common/paths.h"
#include "common/status.h"
#include "services/state/cron_plan.h"
#include "services/state/reply.h"
#include "services/state/space.h"
#include "services/state/state.h"
#include "services/state/task.h"

#include <stdlib.h>

enum {
    PLAN_FIELDS = 4,
    FIRED_FIELDS = 4,
    AGAIN_MS = 1000,        /* Redis is away or full: the slot is there still */
    UNREADABLE_MS = 3600000 /* looked at again, should somebody mend it */
};

/* A schedule between its calls. */
struct due {
    state_t *state;
    int64_t slot_ms, now_ms;
    bool refers; /* its inputs depend on other stages */
    char name[CRON_NAME_MAX + 1];
};

static void rest(state_t *self)
{
    self->crons_rest_ms = clock_ms() + AGAIN_MS;
}

static void on_fired(void *arg, int status, const redisReply *reply)
{
    struct due *due = arg;
    if (!status && !reply_is_array(reply, FIRED_FIELDS))
        status = STATUS_INTERNAL;
    const int64_t refused = status || !reply ? 0 : reply_whole(reply->element[1]);
    if (status) {
        rest(due->state);
        if (!due->state->stopping)
            log_event_seldom(LOG_LEVEL_WARN, "cron_waits", "schedule=%s status=%s why=%s",
                             due->name, status > 0 ? status_text(status) : strerror(-status),
                             reply && reply->type == REDIS_REPLY_ERROR ? reply->str : "");
    } else if (refused) {
        log_event(LOG_LEVEL_WARN, "cron_refused", "schedule=%s slot_ms=%lld status=%s", due->name,
                  (long long)due->slot_ms, status_text((int)refused));
    }
    free(due);
}

/* next_ms 0: never again. */
static struct command *fire_head(const struct due *due, int64_t next_ms)
{
    struct command *command = store_function(due->state->store, "cron_fire");
    command_text(command, due->name);
    command_whole(command, (uint64_t)due->slot_ms);
    if (next_ms)
        command_whole(command, (uint64_t)next_ms);
    else
        command_text(command, "");
    return command;
}

/* Takes due. */
static void send_off(struct due *due, struct command *command)
{
    if (store_call(due->state->store, command, on_fired, due) == 0)
        return;
    rest(due->state);
    free(due);
}

static void fire(struct due *due, const struct m_cron *plan, int64_t next_ms)
{
    state_t *self = due->state;
    char id[CRON_ID_MAX];
    uint8_t token[CRON_TOKEN_SIZE];
    const struct slice name = slice_of(due->name);
    const uint32_t priority =
        plan->priority.size ? (uint32_t)priority_by_text(plan->priority) : PRIORITY_NORMAL;
    cron_plan_id(name, due->slot_ms, id);
    cron_plan_token(name, due->slot_ms, token);
    const struct m_task task = { .id = slice_of(id),
                                 .task = plan->task,
                                 .token = slice_make(token, sizeof token),
                                 .input = plan->input,
                                 .timeout_ms = plan->timeout_ms };
    const struct limits limits = submit_limits(self, &task);
    struct command *command = fire_head(due, next_ms);
    submit_head(self, command, task_name_service(plan->task), priority,
                depths_of(self->depths, task_name_service(plan->task)));
    command_stage(command, task.id, task.task);
    task_pack_body(&task, &limits, priority, state_now_ms(self), due->refers, state_packer(self));
    command_arg(command, state_packed(self));
    command_text(command, "");
    send_off(due, command);
}

static void pass_over(struct due *due, int64_t next_ms, const char *field, const char *why)
{
    log_event(LOG_LEVEL_WARN, "cron_passed_over", "schedule=%s slot_ms=%lld field=%s why=%s",
              due->name, (long long)due->slot_ms, field, why);
    send_off(due, fire_head(due, next_ms));
}

/* Its zone is not known here: to another state service it may be, or to this one after an update.
 * So it stays due. Takes due. */
static void leave(struct due *due, int status)
{
    log_event_seldom(LOG_LEVEL_WARN, "cron_waits",
                     "schedule=%s why=\"its zone or schedule cannot be read here: %s\"", due->name,
                     status > 0 ? status_text(status) : strerror(-status));
    free(due);
}

/* There is no room for its files: it stays due until there is. */
static bool must_wait(const struct due *due, const struct m_cron *plan)
{
    struct refusal why = { 0 };
    const state_t *self = due->state;
    if (!self->space_asked || !catalogue_space(self->catalogue, plan->task) ||
        !space_check(self->space, &why))
        return false;
    log_event_seldom(LOG_LEVEL_WARN, "cron_waits", "schedule=%s slot_ms=%lld why=%s", due->name,
                     (long long)due->slot_ms, why.message);
    return true;
}

/* Of slots that were missed only the latest fires: the others are passed over first. */
static void look(struct due *due, const struct m_cron *plan)
{
    const state_t *self = due->state;
    struct refusal why = { 0 };
    int64_t latest_ms = 0, next_ms = 0;
    int r = cron_plan_latest(plan, due->slot_ms, due->now_ms, &latest_ms);
    if (!r)
        r = cron_plan_next(plan, due->now_ms, &next_ms);
    if (r) {
        leave(due, r);
        return;
    }
    if (latest_ms > due->slot_ms) {
        send_off(due, fire_head(due, latest_ms));
        return;
    }
    r = catalogue_check(self->catalogue, plan->task, plan->input, &why, &due->refers);
    const bool reading = r == STATUS_NOT_FOUND && self->catalogue_asked;
    if (reading || (!r && must_wait(due, plan)))
        free(due); /* the timers name this schedule again in a moment */
    else if (r)
        pass_over(due, next_ms, why.field, why.message);
    else
        fire(due, plan, next_ms);
}

static void on_read(void *arg, int status, const redisReply *reply)
{
    struct due *due = arg;
    struct m_cron plan;
    if (!status && (!reply_has(reply, 0) || reply->elements % PLAN_FIELDS))
        status = STATUS_INTERNAL;
    if (status || due->state->stopping) {
        on_fired(due, status ? status : STATUS_UNAVAILABLE, reply);
        return;
    }
    if (reply->elements == 0) /* a slot of no schedule */
        send_off(due, fire_head(due, 0));
    else if (!cron_plan_read(reply_text(reply->element[1]), &plan))
        pass_over(due, due->now_ms + UNREADABLE_MS, "schedule", "it cannot be read");
    else
        look(due, &plan);
}

void cron_due(state_t *self, struct slice name, int64_t slot_ms, int64_t now_ms)
{
    if (clock_ms() < self->crons_rest_ms)
        return;
    struct due *due = malloc(sizeof *due);
    if (!due)
        return;
    *due = (struct due){ .state = self, .slot_ms = slot_ms, .now_ms = now_ms };
    if (!slice_copy(name, due->name, sizeof due->name)) {
        free(due);
        return;
    }
    struct command *command = store_function(self->store, "crons");
    command_text(command, due->name);
    if (store_call(self->store, command, on_read, due)) {
        rest(self);
        free(due);
    }
}
