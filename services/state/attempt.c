/* Gathers DONE's and RETURN's items: what arrives in one turn goes into one call a session. */
#include "services/state/attempt.h"

#include "common/paths.h"
#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/sid.h"

#include <errno.h>
#include <stdio.h>

int attempt_check(const struct attempt *attempt, struct refusal *why)
{
    if (!task_id_valid(attempt->id))
        return refusal_say(why, STATUS_INVALID, "id", "is no task id");
    if (!task_name_valid(attempt->task))
        return refusal_say(why, STATUS_INVALID, "task", "must be service.method of [a-z0-9_]");
    if (attempt->session.size != WIRE_SESSION_SIZE)
        return refusal_say(why, STATUS_INVALID, "session", "must be %d bytes", WIRE_SESSION_SIZE);
    if (attempt->token.size != WIRE_LEASE_TOKEN_SIZE)
        return refusal_say(why, STATUS_INVALID, "token", "must be %d bytes", WIRE_LEASE_TOKEN_SIZE);
    return 0;
}

bool is_given(struct slice value)
{
    return value.size && !codec_is_nil(value);
}

int checkpoint_check(struct slice checkpoint, struct refusal *why)
{
    if (!is_given(checkpoint))
        return 0;
    if (checkpoint.size > CHECKPOINT_MAX)
        return refusal_say(why, STATUS_TOO_LARGE, "checkpoint", "has %zu bytes; at most %d",
                           checkpoint.size, CHECKPOINT_MAX);
    if (codec_depth(checkpoint) > WIRE_VALUE_DEPTH_MAX)
        return refusal_say(why, STATUS_INVALID, "checkpoint", "is nested deeper than %d levels",
                           WIRE_VALUE_DEPTH_MAX);
    return 0;
}

int attempt_unreadable(struct refusal *why, int status, const char *field)
{
    return refusal_say(why, status, field, "%s",
                       status == STATUS_INVALID ? "missing, of the wrong type or too long"
                                                : "an item is a map");
}

struct command *attempt_join(batches_t *batches, ask_t *ask, uint32_t index,
                             const struct attempt *attempt, struct slice worker)
{
    ask->state->finishing = worker;
    struct command *command = batches_add(batches, attempt->session, ask, index);
    if (!command) {
        ask_trouble(ask, -ENOMEM, NULL);
        return NULL;
    }
    ask->open++;
    command_stage(command, attempt->id, attempt->task);
    command_arg(command, attempt->token);
    return command;
}

void put_return(struct command *command, struct slice checkpoint)
{
    command_text(command, "0");
    command_text(command, "");
    command_text(command, "");
    command_arg(command, is_given(checkpoint) ? checkpoint : (struct slice){ 0 });
}

void put_wait(struct command *command, uint64_t after_ms)
{
    command_text(command, "3");
    command_whole(command, after_ms);
    command_text(command, "");
    command_text(command, "");
}

void attempts_add(ask_t *ask, add_fn *add)
{
    struct reader reader;
    uint32_t count;
    if (!state_read_batch(&ask, &reader, &count))
        return;
    if (!store_ready(ask->state->store) || ask_items(ask, count)) {
        ask_fail(&ask, STATUS_UNAVAILABLE, NULL);
        return;
    }
    for (uint32_t i = 0; i < count && !ask->trouble; i++) {
        struct slice bytes = { 0 };
        struct refusal why = { 0 };
        (void)reader_value(&reader, &bytes); /* the body was checked */
        if (add(ask, i, bytes, &why))
            ask_refuse_item(ask, i, &why);
    }
    state_verdict(ask);
}

static void begin(state_t *self, struct command *command, const char *name, struct slice session)
{
    char sid[SID_TEXT];
    store_begin(self->store, command, name);
    command_text(command, sid_text(session, sid));
    command_arg(command, self->finishing);
}

static void begin_finish(void *arg, struct command *command, struct slice key)
{
    begin(arg, command, "finish", key);
}

static void begin_return(void *arg, struct command *command, struct slice key)
{
    state_t *self = arg;
    begin(self, command, "give_back", key);
    command_whole(command, (uint64_t)self->settings->retry_cap_ms);
}

static void on_ended(void *arg, int status, const redisReply *reply)
{
    batch_t *batch = arg;
    if (!status && !reply_is(reply, batch_count(batch)) &&
        !reply_is_array(reply, batch_count(batch)))
        status = STATUS_INTERNAL;
    batch_end(batch, status, reply);
}

static int send_batch(void *arg, struct slice command, batch_t *batch)
{
    state_t *self = arg;
    return store_send(self->store, command, on_ended, batch);
}

static void ended(void *arg, void *message, uint32_t index, int status, const void *result,
                  uint32_t at)
{
    (void)arg;
    ask_t *ask = message;
    const redisReply *reply = result;
    if (status)
        ask_trouble(ask, status, reply);
    else if (reply->type == REDIS_REPLY_ARRAY) /* else all are as they should be */
        ask->verdicts[index].status = (uint8_t)reply_whole(reply->element[at]);
    state_verdict(ask);
}

const struct batches_row finish_row = { .begin = begin_finish, .send = send_batch, .ended = ended };
const struct batches_row return_row = { .begin = begin_return, .send = send_batch, .ended = ended };

/* An outcome has no field of its own for what is wrong: it leads the sentence. */
static const char *explain(const struct verdict *verdict, char *text, size_t size)
{
    const struct refusal *why = verdict->refusal;
    if (!why)
        return verdict->status ? status_text(verdict->status) : "";
    snprintf(text, size, "%s: %s", why->field, why->message);
    return text;
}

void finish_pack(const ask_t *ask, uint32_t index, msgpack_packer *pk)
{
    char text[REFUSAL_MESSAGE_MAX + REFUSAL_FIELD_MAX + 4];
    const struct verdict *verdict = &ask->verdicts[index];
    const struct m_outcome outcome = { .status = verdict->status,
                                       .id = verdict->id,
                                       .task = verdict->task,
                                       .message = slice_of(explain(verdict, text, sizeof text)) };
    message_encode(&m_outcome_layout, &outcome, pk);
}
