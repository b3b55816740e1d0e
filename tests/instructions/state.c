/* The whole state service between one broker and a real Redis. COUNT_REDIS is that Redis' socket;
 * with COUNT_MARKS it is one with mark.c in it.
 */
#include "services/state/state.h"

#include "tests/instructions/count.h"
#include "tests/instructions/relay.h"
#include "tests/instructions/wire.h"

#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 16, TASKS = 1024, IN_TURN = 64, BATCH = 16, STARTS_MAX = 1000, START_MS = 10 };
enum { EPOCH = 7 };

static const char broker_at[] = "tcp://127.0.0.1:3";

static peer_t *broker;
static uint64_t requests, claims;
static unsigned in_turn = IN_TURN; /* tasks */
static msgpack_sbuffer body;
/* tasks that wait, from `claimed` on, and that are held, from `ended` on */
static unsigned submitted, claimed, ended;
static uint8_t tokens[2 * TASKS][WIRE_LEASE_TOKEN_SIZE];

static void say(uint32_t verb, uint32_t count)
{
    bool routed = verb == VERB_SUBMIT || verb == VERB_CLAIM;
    wire_speak(broker, &(struct says){ verb, ++requests, EPOCH, routed ? "system" : NULL, count },
               &body);
}

static void round_trip(void)
{
    turn();
    (void)relay_carry();
}

/* READY is passed over. */
static bool hear_answer(struct heard *ret_heard)
{
    while (wire_hear(broker, ret_heard))
        if (ret_heard->verb == VERB_ANSWER)
            return true;
    return false;
}

static void hear(struct heard *ret_heard)
{
    for (int i = 0; !hear_answer(ret_heard); i++) {
        if (i == TURNS_MAX)
            count_die("the state service does not answer");
        round_trip();
    }
    if (ret_heard->status)
        count_die("the state service refuses with %u", ret_heard->status);
}

static void check_items(const struct heard *heard, unsigned count)
{
    if (heard->body.type != MSGPACK_OBJECT_ARRAY || heard->body.via.array.size != count)
        count_die("an answer has not %u items", count);
    for (unsigned i = 0; i < count; i++) {
        msgpack_object status = wire_find(heard->body.via.array.ptr[i], "status");
        if (status.type != MSGPACK_OBJECT_POSITIVE_INTEGER || status.via.u64)
            count_die("an item is refused");
    }
}

/* ---- what a turn brings; `count` tasks in each message ---- */

static void submit(unsigned count)
{
    struct heard heard;
    for (unsigned i = 0; i < in_turn; i += count, submitted += count) {
        body_submit(&body, submitted, count);
        say(VERB_SUBMIT, count);
    }
    for (unsigned i = 0; i < in_turn; i += count) {
        hear(&heard);
        check_items(&heard, count);
    }
}

static void keep_tokens(const struct heard *heard, unsigned count)
{
    if (heard->count != count)
        count_die("%u tasks are handed out instead of %u", heard->count, count);
    for (unsigned i = 0; i < count; i++) {
        msgpack_object token = wire_find(heard->body.via.array.ptr[i], "token");
        memcpy(tokens[claimed++ % (2 * TASKS)], token.via.bin.ptr, WIRE_LEASE_TOKEN_SIZE);
    }
}

static void claim(unsigned count)
{
    struct heard heard;
    for (unsigned i = 0; i < in_turn; i += count) {
        body_claim(&body, 0, ++claims);
        say(VERB_CLAIM, count);
    }
    for (unsigned i = 0; i < in_turn; i += count) {
        hear(&heard);
        keep_tokens(&heard, count);
    }
}

static void done(unsigned count)
{
    struct heard heard;
    for (unsigned i = 0; i < in_turn; i += count, ended += count) {
        body_done(&body, 0, ended, count, tokens[ended % (2 * TASKS)]);
        say(VERB_DONE, count);
    }
    for (unsigned i = 0; i < in_turn; i += count) {
        hear(&heard);
        check_items(&heard, count);
    }
}

/* A whole life with nothing beside it, whose end is waited for. */
static void lone(unsigned count)
{
    struct heard heard;
    submit(count);
    claim(count);
    body_wait(&body, ended);
    say(VERB_WAIT, 0);
    round_trip();
    round_trip();
    body_done(&body, 0, ended, count, tokens[ended % (2 * TASKS)]);
    say(VERB_DONE, count);
    ended += count;
    hear(&heard);
    hear(&heard);
}

/* What follows an answer, such as reading the events, is a part of the phase. */
static void settle(void)
{
    struct heard heard;
    do
        turn();
    while (relay_carry());
    turn();
    while (wire_hear(broker, &heard))
        ;
}

static void phase(const char *name, void (*round)(unsigned count), unsigned count)
{
    phase_begin();
    for (unsigned tasks = 0; tasks < TASKS; tasks += in_turn) {
        round(count);
        settle();
    }
    phase_end(name, TASKS);
}

static void life(const char *const names[3], unsigned count)
{
    phase(names[0], submit, count);
    phase(names[1], claim, count);
    phase(names[2], done, count);
}

/* Until Redis is spoken with and the greeting has come. */
static void start(void)
{
    struct heard heard = { 0 };
    for (int i = 0; i < STARTS_MAX && heard.verb != VERB_HELLO; i++) {
        clock_advance(START_MS);
        round_trip();
        if (!broker)
            broker = peer_new(broker_at);
        (void)wire_hear(broker, &heard);
    }
    if (heard.verb != VERB_HELLO)
        count_die("the state service does not introduce itself");
    body_welcome(&body, EPOCH);
    wire_speak(broker, &(struct says){ VERB_ANSWER, heard.request, EPOCH, NULL, 0 }, &body);
    for (int i = 0; i < 50; i++) {
        clock_advance(START_MS);
        settle();
    }
    body_register(&body);
    say(VERB_REGISTER, 0);
    hear(&heard);
    settle();
}

static void script(void)
{
    static const char *const warm[] = { "warm", "warm", "warm" };
    static const char *const singles[] = { "state.submit.1", "state.claim.1", "state.done.1" };
    static const char *const batches[] = { "state.submit.16", "state.claim.16", "state.done.16" };
    msgpack_sbuffer_init(&body);
    start();
    life(warm, 1);
    life(warm, BATCH);
    life(singles, 1);
    life(batches, BATCH);
    in_turn = 1;
    phase("state.lone", lone, 1);
}

int main(void)
{
    static const char *const flags[] = { "--state-brokers=tcp://127.0.0.1:3",
                                         "--redis-addr=./relay", "--lease-ms=3600000",
                                         "--storage-root=/share/workflows", NULL };
    const char *redis = getenv("COUNT_REDIS");
    if (!redis)
        count_die("COUNT_REDIS is not set: tests/instructions/run sets it");
    relay_open("./relay", redis);
    if (getenv("COUNT_MARKS"))
        count_elsewhere = relay_mark;
    count_program(&state_program, flags, script);
}
