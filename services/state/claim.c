/* CLAIM: up to header.count stages of a queue, lent to a session. */
#include "common/log.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/attempt.h"
#include "services/state/record.h"
#include "services/state/reply.h"
#include "services/state/sid.h"
#include "services/state/state.h"

#include <errno.h>
#include <sys/random.h>

enum {
    LOWEST_FIRST_EVERY = 8, /* claims of a queue, so that low priority never starves */
    RANDOM_BYTES = 8,
    HANDOUT_FIELDS = 9,
    BODY_AT = 7,                  /* among the fields of a handout; the checkpoint follows */
    HANDOUTS_BYTES_MAX = 16 << 20 /* in one answer; the others go back to the queue's head */
};

static bool lowest_first(state_t *self, struct slice service)
{
    uint8_t *calls = &self->claims[slice_hash(service) % CLAIM_COUNTERS];
    *calls = (uint8_t)((*calls + 1) % LOWEST_FIRST_EVERY);
    return *calls == 0;
}

static void claim(ask_t *ask);

static void on_given_back(void *arg, int status, const redisReply *reply)
{
    (void)arg;
    (void)reply;
    if (status) /* the worker's heartbeats bring them back */
        log_event_seldom(LOG_LEVEL_WARN, "give_back_failed", "status=%s", status_name(status));
}

/* Handouts that cannot be told to anybody. */
static void give_back(state_t *self, struct slice session, const redisReply *reply, size_t first,
                      size_t count)
{
    char sid[SID_TEXT];
    struct command *command = store_function(self->store, "give_back");
    command_text(command, sid_text(session, sid));
    command_text(command, "");
    command_whole(command, (uint64_t)self->settings->retry_cap_ms);
    for (size_t i = first; i < count; i++) {
        const size_t at = 1 + i * HANDOUT_FIELDS;
        for (size_t k = 0; k < 3; k++)
            command_arg(command, reply_text(reply->element[at + k]));
        put_return(command, (struct slice){ 0 });
    }
    int r = store_call(self->store, command, on_given_back, self);
    if (r)
        on_given_back(self, r, NULL);
}

static void pack_handout(const redisReply *const *fields, struct slice session, msgpack_packer *pk)
{
    struct body body;
    struct m_handout handout = {
        .id = reply_text(fields[0]),
        .task = reply_text(fields[1]),
        .session = session,
        .token = reply_text(fields[2]),
        .attempt = (uint32_t)reply_whole(fields[3]),
        .generation = (uint32_t)reply_whole(fields[4]),
        .failures = (uint32_t)reply_whole(fields[5]),
        .crashes = (uint32_t)reply_whole(fields[6]),
        .checkpoint = reply_text(fields[BODY_AT + 1]),
    };
    if (body_read(reply_text(fields[BODY_AT]), &body)) {
        handout.timeout_ms = body.timeout_ms;
        handout.input = body.input;
    }
    message_encode(&m_handout_layout, &handout, pk);
}

/* Which of them fit into one message. */
static size_t fitting(const redisReply *reply, size_t count)
{
    size_t bytes = 0, n = 0;
    while (n < count) {
        redisReply *const *fields = reply->element + 1 + n * HANDOUT_FIELDS;
        bytes += reply_text(fields[BODY_AT]).size + reply_text(fields[BODY_AT + 1]).size;
        if (n && bytes > HANDOUTS_BYTES_MAX)
            break;
        n++;
    }
    return n;
}

static void hand_over(ask_t *ask, const struct m_claim *said, const redisReply *reply, size_t count)
{
    state_t *self = ask->state;
    const size_t told = ask_reachable(ask) && !self->stopping ? fitting(reply, count) : 0;
    if (told < count)
        give_back(self, said->session, reply, told, count);
    msgpack_packer *pk = state_packer(self);
    msgpack_pack_array(pk, told);
    for (size_t i = 0; i < told; i++)
        pack_handout((const redisReply *const *)&reply->element[1 + i * HANDOUT_FIELDS],
                     said->session, pk);
    ask_answer(&ask, STATUS_OK, (uint32_t)told, state_packed(self));
}

static void on_claimed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_claim said;
    if (!status && (!reply_has(reply, 1) || (reply->elements - 1) % HANDOUT_FIELDS))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    const size_t count = (reply->elements - 1) / HANDOUT_FIELDS;
    (void)message_decode(&m_claim_layout, ask_body(ask), &said, NULL); /* as before */
    if (count)
        hand_over(ask, &said, reply, count);
    else if (reply_whole(reply->element[0]))
        claim(ask); /* only entries that no longer hold were met, and there are more */
    else
        ask_answer(&ask, STATUS_EMPTY, 0, (struct slice){ 0 });
}

static void claim(ask_t *ask)
{
    state_t *self = ask->state;
    struct m_claim said;
    char sid[SID_TEXT];
    uint8_t random[RANDOM_BYTES];
    (void)message_decode(&m_claim_layout, ask_body(ask), &said, NULL); /* claim_asked has seen it */
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        ask_fail(&ask, STATUS_UNAVAILABLE, NULL);
        return;
    }
    struct command *command = store_function(self->store, "claim");
    command_text(command, sid_text(said.session, sid));
    command_arg(command, ask_service(ask));
    command_whole(command, ask->count);
    command_whole(command, said.seq);
    command_whole(command, (uint64_t)self->settings->lease_ms);
    command_whole(command, lowest_first(self, ask_service(ask)) ? 1 : 0);
    command_arg(command, slice_make(random, sizeof random));
    command_arg(command, said.worker);
    state_call(ask, command, on_claimed);
}

void claim_asked(state_t *self, ask_t *ask)
{
    (void)self;
    struct m_claim said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_claim_layout, &said))
        return;
    if (!service_valid(ask_service(ask)))
        refusal_say(&why, STATUS_INVALID, "service", "must be 1 to 32 of [a-z0-9_]");
    else if (said.session.size != WIRE_SESSION_SIZE)
        refusal_say(&why, STATUS_INVALID, "session", "must be %d bytes", WIRE_SESSION_SIZE);
    else if (ask->count == 0 || ask->count > ITEMS_MAX)
        refusal_say(&why, STATUS_INVALID, "count", "must be 1 to %d", ITEMS_MAX);
    else if (said.seq > (uint64_t)1 << 53)
        refusal_say(&why, STATUS_INVALID, "seq", "must be at most 2^53");
    if (why.status)
        ask_refuse(&ask, &why);
    else
        claim(ask);
}
