/* CRON: schedules are set, removed and listed. Redis keeps them; see cron_fire.c for what they do.
 */
#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/cron_plan.h"
#include "services/state/reply.h"
#include "services/state/state.h"

enum { CRONS_MAX = 1000, PLAN_FIELDS = 4 };

/* ---- set --------------------------------------------------------------------------------------
 */

static void answer_one(ask_t *ask, struct m_cron *plan)
{
    msgpack_packer *pk = state_packer(ask->state);
    plan->action = (struct slice){ 0 };
    msgpack_pack_array(pk, 1);
    message_encode(&m_cron_layout, plan, pk);
    ask_answer(&ask, STATUS_OK, 1, state_packed(ask->state));
}

static void on_set(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    state_t *self = ask->state;
    struct m_cron plan;
    int64_t next_ms = 0;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    if (reply_whole(reply) < 0) {
        struct refusal why = { .scope = "schedules", .limit = CRONS_MAX, .current = CRONS_MAX };
        refusal_say(&why, STATUS_BUSY, NULL, "there are as many schedules as there may be");
        ask_refuse(&ask, &why);
        return;
    }
    /* both were good a moment ago */
    (void)message_decode(&m_cron_layout, ask_body(ask), &plan, NULL);
    (void)cron_plan_next(&plan, state_now_ms(self), &next_ms);
    plan.next_ms = (uint64_t)next_ms;
    answer_one(ask, &plan);
}

static int next_of(const state_t *self, const struct m_cron *plan, int64_t *ret_next_ms,
                   struct refusal *why)
{
    int r = cron_plan_next(plan, state_now_ms(self), ret_next_ms);
    if (r < 0)
        return refusal_say(why, STATUS_UNAVAILABLE, NULL, "the state service is out of memory");
    if (*ret_next_ms == 0)
        return refusal_say(why, STATUS_INVALID, "schedule",
                           "does not come within %d years: that month has no such day", CRON_YEARS);
    return 0;
}

/* Answers STATUS_NOT_FOUND for a node that is not known. */
static int check(const state_t *self, const struct m_cron *plan, int64_t *ret_next_ms,
                 struct refusal *why)
{
    int r = cron_plan_check(plan, why);
    if (!r)
        r = next_of(self, plan, ret_next_ms, why);
    if (!r)
        r = catalogue_check(self->catalogue, plan->task, plan->input, why, NULL);
    return r;
}

static void set(state_t *self, ask_t *ask, const struct m_cron *plan)
{
    struct refusal why = { 0 };
    int64_t next_ms = 0;
    int r = check(self, plan, &next_ms, &why);
    if (r == STATUS_NOT_FOUND && !ask->second_look) {
        ask->second_look = true;
        nodes_unsure(self, ask);
        return;
    }
    cron_plan_pack(plan, state_packer(self));
    if (!r && state_packed(self).size > CRON_DEFINITION_MAX) {
        why.limit = CRON_DEFINITION_MAX;
        why.current = state_packed(self).size;
        r = refusal_say(&why, STATUS_TOO_LARGE, "input", "a schedule has at most %d bytes",
                        CRON_DEFINITION_MAX);
    }
    if (r) {
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "cron_set");
    command_arg(command, plan->name);
    command_arg(command, state_packed(self));
    command_whole(command, (uint64_t)next_ms);
    state_call(ask, command, on_set);
}

/* ---- remove, list ------------------------------------------------------------------------------
 */

static void on_removed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    if (reply_whole(reply) == 0) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_NOT_FOUND, "name", "there is no such schedule");
        ask_refuse(&ask, &why);
        return;
    }
    msgpack_pack_array(state_packer(ask->state), 0);
    ask_answer(&ask, STATUS_OK, 0, state_packed(ask->state));
}

static void remove_plan(state_t *self, ask_t *ask, const struct m_cron *plan)
{
    if (!cron_name_valid(plan->name)) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_INVALID, "name", "is the name of the schedule to remove");
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "cron_remove");
    command_arg(command, plan->name);
    state_call(ask, command, on_removed);
}

/* A definition that cannot be read is shown by its name. */
static void pack_plan(const redisReply *const *fields, msgpack_packer *pk)
{
    struct m_cron plan;
    if (!cron_plan_read(reply_text(fields[1]), &plan))
        plan = (struct m_cron){ 0 };
    plan.name = reply_text(fields[0]);
    plan.next_ms = (uint64_t)reply_whole(fields[2]);
    plan.last_ms = (uint64_t)reply_whole(fields[3]);
    message_encode(&m_cron_layout, &plan, pk);
}

static void on_listed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (!status && (!reply_has(reply, 0) || reply->elements % PLAN_FIELDS))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    msgpack_packer *pk = state_packer(ask->state);
    const size_t count = reply->elements / PLAN_FIELDS;
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++)
        pack_plan((const redisReply *const *)&reply->element[i * PLAN_FIELDS], pk);
    ask_answer(&ask, STATUS_OK, (uint32_t)count, state_packed(ask->state));
}

void cron_asked(state_t *self, ask_t *ask)
{
    struct m_cron said = { 0 };
    if (ask_body(ask).size && !state_read(&ask, &m_cron_layout, &said))
        return;
    if (slice_is(said.action, "set")) {
        set(self, ask, &said);
    } else if (slice_is(said.action, "remove")) {
        remove_plan(self, ask, &said);
    } else if (said.action.size == 0 || slice_is(said.action, "list")) {
        state_call_large(ask, self->large, store_function(self->store, "crons"), on_listed);
    } else {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_INVALID, "action", "must be set, remove or list");
        ask_refuse(&ask, &why);
    }
}
