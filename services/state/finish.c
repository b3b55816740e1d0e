/* DONE and RETURN: attempts that have ended, and handouts that come back. */
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/attempt.h"
#include "services/state/task.h"

/* What a worker may say of an attempt. An end goes to gantry_finish; what is to run again goes to
 * gantry_give_back, which calls these so. */
static const struct saying {
    const char *text;
    int state;       /* of an end */
    const char *how; /* of what is no end */
} sayings[] = {
    { "completed", STATE_COMPLETED, NULL },
    { "skipped", STATE_SKIPPED, NULL },
    { "failed", STATE_FAILED, NULL },
    { "cancelled", STATE_CANCELLED, NULL },
    { "retry", 0, "1" },
    { "snoozed", 0, "2" },
};

static const struct saying *saying_of(struct slice text)
{
    for (size_t i = 0; i < sizeof sayings / sizeof *sayings; i++)
        if (slice_is(text, sayings[i].text))
            return &sayings[i];
    return NULL;
}

/* What records carry on: a map or none, and not too deep for the messages that wrap it. */
static int check_map(const char *name, struct slice value, struct refusal *why)
{
    struct reader reader;
    uint32_t pairs;
    if (!is_given(value))
        return 0;
    if (!codec_map(value, &reader, &pairs))
        return refusal_say(why, STATUS_INVALID, name, "must be a map");
    if (codec_depth(value) > WIRE_VALUE_DEPTH_MAX)
        return refusal_say(why, STATUS_INVALID, name, "is nested deeper than %d levels",
                           WIRE_VALUE_DEPTH_MAX);
    return 0;
}

static int check_again(const struct m_result *result, const struct saying *saying,
                       struct refusal *why)
{
    if (result->retry_after_ms > (uint64_t)LATER_MOST_MS)
        return refusal_say(why, STATUS_INVALID, "retry_after_ms",
                           "must be at most " LATER_MOST_TEXT);
    if (saying->how && *saying->how == '2' && result->retry_after_ms == 0)
        return refusal_say(why, STATUS_INVALID, "retry_after_ms",
                           "must be at least 1 of what is snoozed");
    return checkpoint_check(result->checkpoint, why);
}

static int check_result(const struct m_result *result, const struct saying *saying,
                        struct refusal *why)
{
    int r = check_map("output", result->output, why);
    if (!r)
        r = check_map("error", result->error, why);
    if (!r)
        r = check_map("usage", result->usage, why);
    return r ? r : check_again(result, saying, why);
}

static void pack_field(msgpack_packer *pk, const char *name, struct slice value)
{
    if (!is_given(value))
        return;
    pack_text(pk, name);
    pack_raw(pk, value);
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

static void put_end(state_t *state, struct command *command, const struct m_result *result,
                    const struct saying *saying)
{
    command_whole(command, (uint64_t)saying->state);
    command_arg(command, pack_tail(state, result));
}

static void put_again(state_t *state, struct command *command, const struct m_result *result,
                      const struct saying *saying)
{
    command_text(command, saying->how);
    if (result->retry_after_ms)
        command_whole(command, result->retry_after_ms);
    else
        command_text(command, "");
    command_arg(command, pack_tail(state, result));
    command_arg(command, is_given(result->checkpoint) ? result->checkpoint : (struct slice){ 0 });
}

static int add_result(ask_t *ask, uint32_t index, struct slice bytes, struct refusal *why)
{
    state_t *state = ask->state;
    struct m_result result;
    const char *field = NULL;
    int r = message_decode(&m_result_layout, bytes, &result, &field);
    if (r)
        return attempt_unreadable(why, r, field);
    const struct attempt attempt = { result.id, result.task, result.session, result.token };
    const struct saying *saying = saying_of(result.state);
    ask->verdicts[index].id = result.id;
    ask->verdicts[index].task = result.task;
    r = attempt_check(&attempt, why);
    if (r)
        return r;
    if (!saying)
        return refusal_say(why, STATUS_INVALID, "state",
                           "must be completed, skipped, failed, cancelled, retry or snoozed");
    r = check_result(&result, saying, why);
    if (r)
        return r;
    batches_t *batches = saying->how ? state->returns : state->finishes;
    struct command *command = attempt_join(batches, ask, index, &attempt, result.worker);
    if (!command)
        return 0;
    if (saying->how) {
        put_again(state, command, &result, saying);
    } else {
        put_end(state, command, &result, saying);
        looks_ending(state, result.id);
    }
    return 0;
}

static int add_return(ask_t *ask, uint32_t index, struct slice bytes, struct refusal *why)
{
    struct m_handout handout;
    const char *field = NULL;
    int r = message_decode(&m_handout_layout, bytes, &handout, &field);
    if (r)
        return attempt_unreadable(why, r, field);
    const struct attempt attempt = { handout.id, handout.task, handout.session, handout.token };
    ask->verdicts[index].id = handout.id;
    ask->verdicts[index].task = handout.task;
    r = attempt_check(&attempt, why);
    if (!r)
        r = checkpoint_check(handout.checkpoint, why);
    struct command *command =
        r ? NULL : attempt_join(ask->state->returns, ask, index, &attempt, (struct slice){ 0 });
    if (command)
        put_return(command, handout.checkpoint);
    return r;
}

void done_asked(state_t *self, ask_t *ask)
{
    (void)self;
    attempts_add(ask, add_result);
}

void return_asked(state_t *self, ask_t *ask)
{
    (void)self;
    attempts_add(ask, add_return);
}
