/* The schedule `cleanup`: every state service sees to it at its start, and whenever Redis is there
 * anew. What it says besides when and which node is an operator's, and stays. */
#include "common/log.h"
#include "common/status.h"
#include "services/state/cron_plan.h"
#include "services/state/reply.h"
#include "services/state/state.h"

#include <errno.h>

#define NAME "cleanup"
#define NODE "system.cleanup"

enum { PLAN_FIELDS = 4 };

static struct m_cron wanted(const state_t *self)
{
    return (struct m_cron){ .name = SLICE(NAME),
                            .schedule = slice_of(self->settings->cleanup_schedule),
                            .task = SLICE(NODE) };
}

int cron_cleanup_check(const state_t *self)
{
    const struct m_cron plan = wanted(self);
    struct refusal why = { 0 };
    int64_t next_ms = 0;
    if (plan.schedule.size == 0)
        return 0;
    int r = cron_plan_check(&plan, &why);
    if (r == 0)
        r = cron_plan_next(&plan, state_now_ms(self), &next_ms);
    if (r == 0 && next_ms)
        return 0;
    log_event(LOG_LEVEL_ERROR, "start_failed", "setting=cleanup.schedule why=%s",
              *why.message ? why.message : "it never comes");
    return r < 0 ? r : -EINVAL;
}

/* Redis left meanwhile, or is full: at the next start it is seen to again. */
static void on_set(void *arg, int status, const redisReply *reply)
{
    const state_t *self = arg;
    (void)reply;
    if (!self->stopping)
        log_event(status ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "cleanup_scheduled",
                  "schedule=%s status=%s", self->settings->cleanup_schedule,
                  status > 0 ? status_text(status)
                  : status   ? strerror(-status)
                             : "OK");
}

static void set(state_t *self, const struct m_cron *plan)
{
    int64_t next_ms = 0;
    if (cron_plan_next(plan, state_now_ms(self), &next_ms))
        return; /* out of memory */
    struct command *command = store_function(self->store, "cron_set");
    command_text(command, NAME);
    cron_plan_pack(plan, state_packer(self));
    command_arg(command, state_packed(self));
    command_whole(command, (uint64_t)next_ms);
    (void)store_call(self->store, command, on_set, self);
}

/* The schedule as Redis has it; false: there is none, or it is another node's. */
static bool find(const redisReply *reply, struct m_cron *ret_found)
{
    return reply->elements == PLAN_FIELDS &&
           cron_plan_read(reply_text(reply->element[1]), ret_found) &&
           slice_is(ret_found->task, NODE);
}

static void on_read(void *arg, int status, const redisReply *reply)
{
    state_t *self = arg;
    if (status || self->stopping || !reply_has(reply, 0))
        return;
    struct m_cron plan = wanted(self), found;
    if (find(reply, &found)) {
        if (slice_equal(found.schedule, plan.schedule) && found.zone.size == 0 &&
            reply_whole(reply->element[2]) > 0)
            return;
        found.name = plan.name;
        found.schedule = plan.schedule;
        found.zone = (struct slice){ 0 };
        plan = found;
    }
    set(self, &plan);
}

void cron_cleanup_see(state_t *self)
{
    if (!*self->settings->cleanup_schedule)
        return;
    struct command *command = store_function(self->store, "crons");
    command_text(command, NAME);
    (void)store_call(self->store, command, on_read, self);
}
