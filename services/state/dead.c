/* REPLAY and PURGE: what becomes of dead letters. */
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "services/state/ref.h"
#include "services/state/reply.h"

enum { RETRY_QUEUE_FULL_MS = 1000 };

static void refuse_living(ask_t **ask_p, const struct stages *stages)
{
    struct refusal why = { 0 };
    refusal_say(&why, STATUS_CONFLICT, "id", "it is no dead letter: %s",
                stages && stages->count ? state_text(stages->items[0].state)
                                        : "it has not failed, or was replayed or purged before");
    ask_refuse(ask_p, &why);
}

static void refuse_full(ask_t **ask_p, const struct m_ref *ref)
{
    const struct slice service = task_name_service(ref->task);
    struct refusal why = { .scope = "queue", .retry_after_ms = RETRY_QUEUE_FULL_MS };
    if (service.size) {
        why.limit = why.current = depths_of((*ask_p)->state->depths, service);
        refusal_say(&why, STATUS_BUSY, NULL, "the queue %.*s is full", SLICE_ARG(service));
    } else {
        refusal_say(&why, STATUS_BUSY, NULL,
                    "a queue of the task is full: replay it stage by stage");
    }
    ask_refuse(ask_p, &why);
}

/* A status, and the record as it is now. */
static void on_replayed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_ref ref;
    scoped_in(stages) stages = { 0 };
    size_t at = 1;
    if (!status && !reply_has(reply, 1))
        status = STATUS_INTERNAL;
    if (!status)
        status = stages_read(&stages, reply, &at);
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    ref_again(ask, &ref);
    const int64_t said = reply_whole(reply->element[0]);
    if (said == STATUS_NOT_FOUND || stages.count == 0)
        ref_missing(&ask, &ref);
    else if (said == STATUS_BUSY)
        refuse_full(&ask, &ref);
    else if (said)
        refuse_living(&ask, &stages);
    else
        ref_tell(&ask, ref.id, &stages);
}

void replay_asked(state_t *self, ask_t *ask)
{
    struct m_ref ref;
    if (!ref_read(&ask, &ref))
        return;
    struct command *command = store_function(self->store, "replay");
    command_arg(command, ref.id);
    command_arg(command, ref.task);
    command_whole(command, depths_of(self->depths, task_name_service(ref.task)));
    depths_put(self->depths, command);
    state_call_large(ask, self->records, command, on_replayed);
}

static void on_purged(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_ref ref;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    ref_again(ask, &ref);
    const int64_t said = reply_whole(reply);
    if (said < 0)
        ref_missing(&ask, &ref);
    else if (said == 0)
        refuse_living(&ask, NULL);
    else
        ask_answer(&ask, STATUS_OK, 0, (struct slice){ 0 });
}

void purge_asked(state_t *self, ask_t *ask)
{
    struct m_ref ref;
    if (!ref_read(&ask, &ref))
        return;
    struct command *command = store_function(self->store, "purge");
    command_arg(command, ref.id);
    command_arg(command, ref.task);
    state_call(ask, command, on_purged);
}
