/* HEARTBEAT and a worker's BYE: the life of a session. */
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/reply.h"
#include "services/state/sid.h"
#include "services/state/state.h"

#include <stdio.h>

enum { BEAT_HEAD = 4, PROGRESS_STEPS = 10000 };

/* Decimal text, whatever the locale. Zero or none: "as before" (it never falls back). */
static const char *progress_text(double progress, char text[16])
{
    text[0] = '\0';
    if (!(progress > 0))
        return text;
    const unsigned steps = progress < 1 ? (unsigned)(progress * PROGRESS_STEPS) : PROGRESS_STEPS;
    snprintf(text, 16, "%u.%04u", steps / PROGRESS_STEPS, steps % PROGRESS_STEPS);
    return text;
}

static int put_hold(struct command *command, struct slice bytes, struct refusal *why)
{
    struct m_hold hold;
    const char *field = NULL;
    char text[16];
    int r = message_decode(&m_hold_layout, bytes, &hold, &field);
    if (r || !task_id_valid(hold.id) || !task_name_valid(hold.task) ||
        hold.token.size != WIRE_LEASE_TOKEN_SIZE)
        return refusal_say(why, STATUS_INVALID, "held", "an item is not a hold (%s)",
                           field ? field : "id, task or token");
    command_stage(command, hold.id, hold.task);
    command_arg(command, hold.token);
    command_text(command, progress_text(hold.progress, text));
    return 0;
}

static int put_held(struct command *command, struct slice held, struct refusal *why)
{
    struct reader reader;
    uint32_t count;
    if (held.size == 0 || codec_is_nil(held))
        return 0;
    if (!codec_array(held, &reader, &count))
        return refusal_say(why, STATUS_INVALID, "held", "must be a list");
    if (count > ITEMS_MAX) {
        why->limit = ITEMS_MAX;
        why->current = count;
        return refusal_say(why, STATUS_TOO_LARGE, "held", "a session holds at most %d", ITEMS_MAX);
    }
    for (uint32_t i = 0; i < count && why->status == 0; i++) {
        struct slice bytes = { 0 };
        (void)reader_value(&reader, &bytes); /* the body was checked */
        (void)put_hold(command, bytes, why);
    }
    return why->status;
}

static void pack_tokens(msgpack_packer *pk, const char *name, const redisReply *reply, size_t first,
                        size_t count)
{
    pack_text(pk, name);
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++)
        pack_bin(pk, reply_text(reply->element[first + i]));
}

/* So many tokens follow as it says. */
static bool is_beat(const redisReply *reply)
{
    if (!reply_has(reply, BEAT_HEAD))
        return false;
    const size_t tokens = reply->elements - BEAT_HEAD;
    const int64_t stale = reply_whole(reply->element[0]), cancel = reply_whole(reply->element[1]);
    return stale >= 0 && (uint64_t)stale <= tokens && cancel == (int64_t)(tokens - (size_t)stale);
}

static void on_beaten(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (!status && !is_beat(reply))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    const size_t stale = (size_t)reply_whole(reply->element[0]);
    const size_t cancel = (size_t)reply_whole(reply->element[1]);
    msgpack_packer *pk = state_packer(ask->state);
    const bool drain = reply_whole(reply->element[3]) != 0;
    msgpack_pack_map(pk, drain ? 3 : 2);
    pack_tokens(pk, "stale", reply, BEAT_HEAD, stale);
    pack_tokens(pk, "cancel", reply, BEAT_HEAD + stale, cancel);
    if (drain) {
        pack_text(pk, "drain");
        msgpack_pack_true(pk);
    }
    ask_answer(&ask, STATUS_OK, 0, state_packed(ask->state));
}

/* Kept as text: names separated by commas. */
static bool services_valid(struct slice services)
{
    const char *at = services.data, *end = at + services.size;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        if (!service_valid(slice_make(at, (size_t)(stop - at))))
            return false;
        at = stop + 1;
    }
    return true;
}

static int check_beat(const struct m_heartbeat *said, struct refusal *why)
{
    if (said->session.size != WIRE_SESSION_SIZE)
        return refusal_say(why, STATUS_INVALID, "session", "must be %d bytes", WIRE_SESSION_SIZE);
    if (said->claim_open > (uint64_t)1 << 53)
        return refusal_say(why, STATUS_INVALID, "claim_open", "must be at most 2^53");
    if (said->worker.size && memchr(said->worker.data, '\n', said->worker.size))
        return refusal_say(why, STATUS_INVALID, "worker", "must be one line");
    if (said->services.size && !services_valid(said->services))
        return refusal_say(why, STATUS_INVALID, "services",
                           "must be services of [a-z0-9_], separated by commas");
    return 0;
}

void heartbeat_asked(state_t *self, ask_t *ask)
{
    struct m_heartbeat said;
    struct refusal why = { 0 };
    char sid[SID_TEXT];
    if (!state_read(&ask, &m_heartbeat_layout, &said))
        return;
    struct command *command = store_function(self->store, "heartbeat");
    command_text(command, sid_text(said.session, sid));
    command_arg(command, said.worker);
    command_arg(command, said.services);
    command_whole(command, said.slots);
    command_whole(command, said.claim_open);
    command_whole(command, (uint64_t)self->settings->lease_ms);
    if (check_beat(&said, &why) || put_held(command, said.held, &why))
        ask_refuse(&ask, &why);
    else
        state_call(ask, command, on_beaten);
}

static void on_left(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (status)
        ask_fail(&ask, status, reply);
    else
        ask_answer(&ask, STATUS_OK, 0, (struct slice){ 0 });
}

void bye_asked(state_t *self, ask_t *ask)
{
    struct m_bye said;
    char sid[SID_TEXT];
    if (!state_read(&ask, &m_bye_layout, &said))
        return;
    if (said.session.size != WIRE_SESSION_SIZE) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_INVALID, "session", "must be %d bytes", WIRE_SESSION_SIZE);
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "bye");
    command_text(command, sid_text(said.session, sid));
    state_call(ask, command, on_left);
}
