/* DONE and RETURN: attempts that have ended, and handouts that come back. What arrives in one turn
 * goes into one call a session. */
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/reply.h"
#include "services/state/sid.h"
#include "services/state/state.h"

#include <errno.h>

/* What both verbs say of an attempt. */
struct attempt {
    struct slice id, task, session, token;
};

static int check_attempt(const struct attempt *attempt, struct refusal *why)
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

/* What records carry on: a map or none, and not too deep for the messages that wrap it. */
static int check_map(const char *name, struct slice value, struct refusal *why)
{
    struct reader reader;
    uint32_t pairs;
    if (value.size == 0 || codec_is_nil(value))
        return 0;
    if (!codec_map(value, &reader, &pairs))
        return refusal_say(why, STATUS_INVALID, name, "must be a map");
    if (codec_depth(value) > WIRE_VALUE_DEPTH_MAX)
        return refusal_say(why, STATUS_INVALID, name, "is nested deeper than %d levels",
                           WIRE_VALUE_DEPTH_MAX);
    return 0;
}

static int check_result(const struct m_result *result, int *ret_state, struct refusal *why)
{
    const int state = state_by_text(result->state);
    if (state != STATE_COMPLETED && state != STATE_SKIPPED && state != STATE_FAILED &&
        state != STATE_CANCELLED)
        return refusal_say(why, STATUS_INVALID, "state",
                           "must be completed, skipped, failed or cancelled");
    int r = check_map("output", result->output, why);
    if (!r)
        r = check_map("error", result->error, why);
    if (!r)
        r = check_map("usage", result->usage, why);
    if (r)
        return r;
    *ret_state = state;
    return 0;
}

static int unreadable(struct refusal *why, int status, const char *field)
{
    return refusal_say(why, status, field, "%s",
                       status == STATUS_INVALID ? "missing, of the wrong type or too long"
                                                : "an item is a map");
}

/* The batch's command with the session's items, or NULL (trouble is noted). */
static struct command *join(batches_t *batches, ask_t *ask, uint32_t index,
                            const struct attempt *attempt)
{
    struct command *command = batches_add(batches, attempt->session, ask, index);
    if (!command) {
        ask_trouble(ask, -ENOMEM, NULL);
        return NULL;
    }
    ask->open++;
    command_arg(command, attempt->id);
    command_arg(command, attempt->task);
    command_arg(command, attempt->token);
    return command;
}

static void pack_field(msgpack_packer *pk, const char *name, struct slice value)
{
    if (value.size == 0 || codec_is_nil(value))
        return;
    pack_text(pk, name);
    pack_raw(pk, value);
}

static bool is_given(struct slice value)
{
    return value.size && !codec_is_nil(value);
}

/* The map behind the head of the packed state. */
static struct slice pack_tail(state_t *state, const struct m_result *result)
{
    msgpack_packer *pk = state_packer(state);
    const unsigned count = (is_given(result->output) ? 1u : 0) +
                           (is_given(result->error) ? 1u : 0) + (is_given(result->usage) ? 1u : 0) +
                           (result->worker.size ? 1u : 0);
    msgpack_pack_map(pk, count);
    pack_field(pk, "output", result->output);
    pack_field(pk, "error", result->error);
    pack_field(pk, "usage", result->usage);
    if (result->worker.size) {
        pack_text(pk, "worker");
        pack_slice(pk, result->worker);
    }
    return state_packed(state);
}

static int add_result(ask_t *ask, uint32_t index, struct slice bytes, struct refusal *why)
{
    struct m_result result;
    const char *field = NULL;
    int state = 0;
    int r = message_decode(&m_result_layout, bytes, &result, &field);
    if (r)
        return unreadable(why, r, field);
    const struct attempt attempt = { result.id, result.task, result.session, result.token };
    ask->verdicts[index].id = result.id;
    ask->verdicts[index].task = result.task;
    r = check_attempt(&attempt, why);
    if (!r)
        r = check_result(&result, &state, why);
    if (r)
        return r;
    ask->state->finishing = result.worker; /* for the batch that this item may open */
    struct command *command = join(ask->state->finishes, ask, index, &attempt);
    if (!command)
        return 0;
    command_whole(command, (uint64_t)state);
    command_arg(command, pack_tail(ask->state, &result));
    return 0;
}

static int add_return(ask_t *ask, uint32_t index, struct slice bytes, struct refusal *why)
{
    struct m_handout handout;
    const char *field = NULL;
    int r = message_decode(&m_handout_layout, bytes, &handout, &field);
    if (r)
        return unreadable(why, r, field);
    const struct attempt attempt = { handout.id, handout.task, handout.session, handout.token };
    ask->verdicts[index].id = handout.id;
    ask->verdicts[index].task = handout.task;
    r = check_attempt(&attempt, why);
    if (!r)
        (void)join(ask->state->returns, ask, index, &attempt);
    return r;
}

typedef int add_fn(ask_t *ask, uint32_t index, struct slice bytes, struct refusal *why);

static void add_all(ask_t *ask, add_fn *add)
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

void done_asked(state_t *self, ask_t *ask)
{
    (void)self;
    add_all(ask, add_result);
}

void return_asked(state_t *self, ask_t *ask)
{
    (void)self;
    add_all(ask, add_return);
}

static void put_session(state_t *self, struct command *command, const char *name,
                        struct slice session)
{
    char sid[SID_TEXT];
    store_begin(self->store, command, name);
    command_text(command, sid_text(session, sid));
}

static void begin_finish(void *arg, struct command *command, struct slice key)
{
    state_t *self = arg;
    put_session(self, command, "finish", key);
    command_arg(command, self->finishing);
}

static void begin_return(void *arg, struct command *command, struct slice key)
{
    put_session(arg, command, "give_back", key);
}

static void on_ended(void *arg, int status, const redisReply *reply)
{
    batch_t *batch = arg;
    if (!status && !reply_is_array(reply, batch_count(batch)))
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
    else
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
