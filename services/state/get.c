/* GET and CANCEL. */
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "services/state/ref.h"

#include <errno.h>

int ref_check(const struct m_ref *ref, struct refusal *why)
{
    if (!task_id_valid(ref->id))
        return refusal_say(
            why, STATUS_INVALID, "id",
            "must be 1 to 128 of [A-Za-z0-9._-], begin with a letter or digit, have no "
            "\"..\" and not be \"pending\"");
    if (ref->task.size && !task_name_valid(ref->task))
        return refusal_say(why, STATUS_INVALID, "task", "must be service.method of [a-z0-9_]");
    return 0;
}

bool ref_read(ask_t **ask_p, struct m_ref *ref)
{
    struct refusal why = { 0 };
    if (!state_read(ask_p, &m_ref_layout, ref))
        return false;
    if (ref_check(ref, &why)) {
        ask_refuse(ask_p, &why);
        return false;
    }
    return true;
}

void ref_again(ask_t *ask, struct m_ref *ret_ref)
{
    (void)message_decode(&m_ref_layout, ask_body(ask), ret_ref, NULL);
}

void ref_missing(ask_t **ask_p, const struct m_ref *ref)
{
    struct refusal why = { 0 };
    if (ref->task.size)
        refusal_say(&why, STATUS_NOT_FOUND, "task", "no task %.*s with a stage %.*s",
                    SLICE_ARG(ref->id), SLICE_ARG(ref->task));
    else
        refusal_say(&why, STATUS_NOT_FOUND, "id", "no task %.*s", SLICE_ARG(ref->id));
    ask_refuse(ask_p, &why);
}

void ref_tell(ask_t **ask_p, struct slice id, const struct stages *stages)
{
    state_t *self = (*ask_p)->state;
    if (record_pack(id, self->settings->storage_root, stages->items, stages->count,
                    state_packer(self)))
        ask_answer(ask_p, STATUS_OK, 0, state_packed(self));
    else
        ask_fail(ask_p, -ENOMEM, NULL);
}

/* Cancelling what has ended otherwise is a conflict; what is cancelled already is not. */
static bool too_late(const struct stages *stages)
{
    for (size_t i = 0; i < stages->count; i++)
        if (!stage_ended(&stages->items[i]) || stages->items[i].state == STATE_CANCELLED)
            return false;
    return true;
}

/* Ours are cancelled by now; what an outside processor has, it alone can end. */
static bool out_of_reach(const struct stages *stages)
{
    for (size_t i = 0; i < stages->count; i++)
        if (!stage_ended(&stages->items[i]) && !stages->items[i].external)
            return false;
    return stages_external(stages);
}

static void on_record(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_ref ref;
    scoped_in(stages) stages = { 0 };
    size_t at = 0;
    if (!status)
        status = stages_read(&stages, reply, &at);
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    ref_again(ask, &ref);
    if (stages.count == 0) {
        ref_missing(&ask, &ref);
    } else if (ask->verb == VERB_CANCEL && too_late(&stages)) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_CONFLICT, "id", "it has ended already: %s",
                    record_status(stages.items, stages.count));
        ask_refuse(&ask, &why);
    } else if (ask->verb == VERB_CANCEL && out_of_reach(&stages)) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_CONFLICT, "id",
                    "an outside processor has it: only that can end it");
        ask_refuse(&ask, &why);
    } else {
        ref_tell(&ask, ref.id, &stages);
    }
}

void get_asked(state_t *self, ask_t *ask)
{
    struct m_ref ref;
    if (!ref_read(&ask, &ref))
        return;
    struct command *command = store_function(self->store, "get");
    command_text(command, "1");
    command_arg(command, ref.id);
    command_arg(command, ref.task);
    state_call_large(ask, self->records, command, on_record);
}

void cancel_asked(state_t *self, ask_t *ask)
{
    struct m_ref ref;
    if (!ref_read(&ask, &ref))
        return;
    struct command *command = store_function(self->store, "cancel");
    command_arg(command, ref.id);
    command_arg(command, ref.task);
    state_call_large(ask, self->records, command, on_record);
}
