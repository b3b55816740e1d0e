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
    REPLY_HEAD = 2,               /* whether there is more; the tokens' random bytes */
    HANDOUT_FIELDS = 3,           /* stage, body, rest */
    FIRST_ATTEMPT = 1,            /* what a handout without a rest is */
    COUNTERS_SIZE = 20,           /* the rest begins with: generation, attempt, failures, crashes */
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

/* A handout as the function answered it, borrowed from the reply. */
struct handed {
    struct slice stage, body, rest;
    uint8_t token[WIRE_LEASE_TOKEN_SIZE];
};

static struct handed handed_at(const redisReply *reply, size_t i)
{
    redisReply *const *fields = reply->element + REPLY_HEAD + i * HANDOUT_FIELDS;
    const struct slice random = reply_text(reply->element[1]);
    struct handed it = { .stage = reply_text(fields[0]),
                         .body = reply_text(fields[1]),
                         .rest = reply_text(fields[2]) };
    memcpy(it.token, random.data, random.size);
    for (size_t k = 0; k < WIRE_LEASE_TOKEN_SIZE - RANDOM_BYTES; k++)
        it.token[WIRE_LEASE_TOKEN_SIZE - 1 - k] = (uint8_t)(i >> (8 * k));
    return it;
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
        const struct handed it = handed_at(reply, i);
        command_arg(command, it.stage);
        command_arg(command, slice_make(it.token, sizeof it.token));
        put_return(command, (struct slice){ 0 });
    }
    int r = store_call(self->store, command, on_given_back, self);
    if (r)
        on_given_back(self, r, NULL);
}

/* The counters are as in the packed state; what follows them is a checkpoint, unless somebody put
 * there what would spoil the whole answer. */
static void read_rest(struct slice rest, struct m_handout *handout)
{
    uint32_t *const counters[] = { &handout->generation, &handout->attempt, &handout->failures,
                                   &handout->crashes };
    struct reader reader = reader_of(rest);
    handout->attempt = FIRST_ATTEMPT;
    if (rest.size < COUNTERS_SIZE)
        return;
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        struct slice value;
        uint64_t whole = 0;
        if (reader_value(&reader, &value) && codec_whole(value, &whole))
            *counters[i] = (uint32_t)whole;
    }
    const struct slice checkpoint =
        slice_make((const uint8_t *)rest.data + COUNTERS_SIZE, rest.size - COUNTERS_SIZE);
    if (codec_check(checkpoint) == 0 && codec_depth(checkpoint) <= WIRE_VALUE_DEPTH_MAX)
        handout->checkpoint = checkpoint;
}

static void pack_handout(const struct handed *it, struct slice session, msgpack_packer *pk)
{
    struct body body;
    struct m_handout handout = { .session = session,
                                 .token = slice_make(it->token, sizeof it->token) };
    handout.id = slice_until(it->stage, '/', &handout.task);
    read_rest(it->rest, &handout);
    if (body_read(it->body, &body)) {
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
        const struct handed it = handed_at(reply, n);
        bytes += it.body.size + it.rest.size;
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
    for (size_t i = 0; i < told; i++) {
        const struct handed it = handed_at(reply, i);
        pack_handout(&it, said->session, pk);
    }
    ask_answer(&ask, STATUS_OK, (uint32_t)told, state_packed(self));
}

static bool is_answer(const redisReply *reply)
{
    return reply_has(reply, REPLY_HEAD) && (reply->elements - REPLY_HEAD) % HANDOUT_FIELDS == 0 &&
           reply_text(reply->element[1]).size == RANDOM_BYTES;
}

static void on_claimed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_claim said;
    if (!status && !is_answer(reply))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    const size_t count = (reply->elements - REPLY_HEAD) / HANDOUT_FIELDS;
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
    if (why.status) {
        ask_refuse(&ask, &why);
        return;
    }
    asks_add(&self->claims_asked, ask);
}

void claims_flush(state_t *self)
{
    for (ask_t *ask = asks_take(&self->claims_asked); ask; ask = asks_take(&self->claims_asked))
        claim(ask);
}
