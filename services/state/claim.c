/* CLAIM: up to header.count stages of a queue, lent to a session. */
#include "common/log.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/attempt.h"
#include "services/state/created.h"
#include "services/state/handout.h"
#include "services/state/reply.h"
#include "services/state/sid.h"

#include <errno.h>
#include <sys/random.h>

enum {
    LOWEST_FIRST_EVERY = 8,        /* claims of a queue, so that low priority never starves */
    CLAIMS_MAX = 64,               /* made for one that asked, while all that comes is put off */
    AGAIN_LEAST_MS = 1000,         /* until a stage that waits for another is looked at again: */
    AGAIN_MOST_MS = 30000,         /* so many that wait must not keep all others from their turn */
    HANDOUTS_BYTES_MAX = 16 << 20, /* in one answer; the others go back to the queue's head */
    INPUTS_BYTES_MAX = 1 << 20     /* of one stage, where a broker does not say */
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

/* The handouts of an answer, and what becomes of each. */
struct deal {
    state_t *state;
    struct slice session;
    size_t most;            /* bytes of a stage's inputs */
    uint32_t told;          /* they lie in the state's packer */
    uint32_t put;           /* back, or off */
    bool full;              /* the others go back */
    uint8_t *fate;          /* enum fate of each */
    msgpack_sbuffer inputs; /* scratch: resolved ones */
};

static void pack_handout(struct deal *deal, const struct handed *it, const struct body *body)
{
    struct m_handout handout = { .session = deal->session,
                                 .token = slice_make(it->token, sizeof it->token),
                                 .timeout_ms = body->timeout_ms,
                                 .input = body->input,
                                 .owned = body->owner.size > 0 };
    handout.id = handed_id(it, &handout.task);
    handed_rest(it->rest, &handout);
    message_encode(&m_handout_layout, &handout, &deal->state->packer);
}

/* Whose word it is: the session's, not the worker's. */
static void begin_for(const struct deal *deal, struct command *command)
{
    char sid[SID_TEXT];
    command_text(command, sid_text(deal->session, sid));
    command_text(command, "");
}

/* It ends in the name of its session, whose worker never hears of it. */
static void fail(const struct deal *deal, const struct handed *it, const struct refusal *why)
{
    state_t *state = deal->state;
    struct slice task;
    msgpack_sbuffer tail;
    msgpack_packer pk;
    const struct m_fault fault = { .code = slice_of(status_name(why->status)),
                                   .message = slice_of(why->message),
                                   .field = slice_of(why->field) };
    msgpack_sbuffer_init(&tail);
    msgpack_packer_init(&pk, &tail, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 1);
    pack_text(&pk, "error");
    message_encode(&m_fault_layout, &fault, &pk);
    struct command *command = store_function(state->store, "finish");
    begin_for(deal, command);
    command_arg(command, it->stage);
    command_arg(command, slice_make(it->token, sizeof it->token));
    command_whole(command, STATE_FAILED);
    command_arg(command, slice_make(tail.data, tail.size));
    int r = store_call(state->store, command, on_given_back, state);
    if (r)
        on_given_back(state, r, NULL);
    msgpack_sbuffer_destroy(&tail);
    looks_ending(state, handed_id(it, &task));
}

static enum fate tell(struct deal *deal, const struct handed *it)
{
    struct body body = { 0 };
    struct refusal why = { 0 };
    (void)body_read(it->body, &body); /* what is none has no input */
    if (it->others) {
        msgpack_sbuffer_clear(&deal->inputs);
        const enum fate fate =
            handed_resolve(it, deal->state, deal->most, &body.input, &deal->inputs, &why);
        if (fate == FATE_FAILED)
            fail(deal, it, &why);
        if (fate != FATE_TOLD)
            return fate;
    }
    const size_t bytes = deal->state->packed.size + body.input.size + it->rest.size;
    deal->full = deal->told && bytes > HANDOUTS_BYTES_MAX;
    if (deal->full)
        return FATE_BACK;
    pack_handout(deal, it, &body);
    deal->told++;
    return FATE_TOLD;
}

/* Half as long again each time. */
static uint64_t later_ms(const struct handed *it)
{
    struct m_handout said = { 0 };
    handed_rest(it->rest, &said);
    uint64_t ms = AGAIN_LEAST_MS;
    for (uint32_t i = 0; i < said.generation && ms < AGAIN_MOST_MS; i++)
        ms += ms / 2;
    return ms < AGAIN_MOST_MS ? ms : AGAIN_MOST_MS;
}

/* Handouts that are not told: back to the head of their queue, or off until what they wait for may
 * have ended. */
static void give_back(const struct deal *deal, const redisReply *reply, size_t count)
{
    state_t *state = deal->state;
    struct command *command = store_function(state->store, "give_back");
    begin_for(deal, command);
    command_whole(command, (uint64_t)state->settings->retry_cap_ms);
    for (size_t i = 0; i < count; i++) {
        if (deal->fate[i] != FATE_BACK && deal->fate[i] != FATE_LATER)
            continue;
        const struct handed it = handed_at(reply, i);
        command_arg(command, it.stage);
        command_arg(command, slice_make(it.token, sizeof it.token));
        if (deal->fate[i] == FATE_BACK)
            put_return(command, (struct slice){ 0 });
        else
            put_wait(command, later_ms(&it));
    }
    int r = store_call(state->store, command, on_given_back, state);
    if (r)
        on_given_back(state, r, NULL);
}

/* An array, whose count comes last. */
static void begin_array(state_t *state)
{
    static const char head[] = { (char)0xdd, 0, 0, 0, 0 };
    (void)state_packer(state);
    (void)msgpack_sbuffer_write(&state->packed, head, sizeof head);
}

static struct slice end_array(state_t *state, uint32_t count)
{
    for (size_t i = 0; i < sizeof count && state->packed.size; i++)
        state->packed.data[1 + i] = (char)(uint8_t)(count >> (24 - 8 * i));
    return state_packed(state);
}

/* Takes the ask. */
static void hand_over(ask_t *ask, const struct m_claim *said, const redisReply *reply)
{
    state_t *self = ask->state;
    const size_t count = handed_count(reply);
    // cppcheck-suppress unassignedVariable ; it is, through deal.fate
    uint8_t fates[ITEMS_MAX];
    const bool heard = ask_reachable(ask) && !self->stopping;
    struct deal deal = { .state = self, .session = said->session, .fate = fates, .full = !heard };
    deal.most = ask->broker->body_max ? ask->broker->body_max : INPUTS_BYTES_MAX;
    msgpack_sbuffer_init(&deal.inputs);
    begin_array(self);
    for (size_t i = 0; i < count; i++) {
        const struct handed it = handed_at(reply, i);
        deal.fate[i] = (uint8_t)(deal.full ? FATE_BACK : tell(&deal, &it));
        deal.put += deal.fate[i] == FATE_BACK || deal.fate[i] == FATE_LATER;
    }
    msgpack_sbuffer_destroy(&deal.inputs);
    if (deal.put)
        give_back(&deal, reply, count);
    if (deal.told || !heard)
        ask_answer(&ask, STATUS_OK, deal.told, end_array(self, deal.told));
    else if (ask->claims++ < CLAIMS_MAX)
        claim(ask); /* others may be behind those that wait */
    else
        ask_answer(&ask, STATUS_EMPTY, 0, (struct slice){ 0 });
}

static void on_claimed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_claim said;
    if (!status && !handed_are(reply))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    (void)message_decode(&m_claim_layout, ask_body(ask), &said, NULL); /* as before */
    if (handed_count(reply))
        hand_over(ask, &said, reply);
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
    uint8_t random[HANDOUT_RANDOM];
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
    if (created_service(ask_service(ask)))
        created_limits(self, command);
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
