/* The whole broker between sixteen clients, sixteen workers and one state service. */
#include "broker/broker.h"

#include "tests/instructions/count.h"
#include "tests/instructions/wire.h"

#include <string.h>

enum { PEERS = 16, TURNS_MAX = 8, TASKS = 1024, BATCH = 16 };

static const char clients_at[] = "tcp://127.0.0.1:1", workers_at[] = "tcp://127.0.0.1:2",
                  states_at[] = "tcp://127.0.0.1:3";

static struct end {
    peer_t *peer;
    uint32_t epoch;
    uint64_t request;
} clients[PEERS], workers[PEERS], state;

static unsigned peers = PEERS; /* that take part */
static msgpack_sbuffer body;
static uint8_t tokens[BATCH * WIRE_LEASE_TOKEN_SIZE];

static void say(struct end *end, uint32_t verb, uint32_t count)
{
    bool routed = verb == VERB_SUBMIT;
    wire_speak(end->peer,
               &(struct says){ verb, ++end->request, end->epoch, routed ? "system" : NULL, count },
               &body);
}

/* Turns until something comes; dies when it is not that. */
static void hear(const struct end *end, uint32_t verb, struct heard *ret_heard)
{
    for (int i = 0; !wire_hear(end->peer, ret_heard); i++) {
        if (i == TURNS_MAX)
            count_die("the broker does not say %u", verb);
        turn();
    }
    if (ret_heard->verb != verb || ret_heard->status)
        count_die("the broker says %u, status %u instead of %u", ret_heard->verb, ret_heard->status,
                  verb);
}

static void join(struct end *end, const char *endpoint, const char *role, unsigned number)
{
    struct heard welcome;
    end->peer = peer_new(endpoint);
    body_hello(&body, role, number);
    say(end, VERB_HELLO, 0);
    hear(end, VERB_ANSWER, &welcome);
    end->epoch = (uint32_t)wire_find(welcome.body, "epoch").via.u64;
}

/* The state service hears one request of each and answers; the askers hear that. */
static void answer(const struct end *ends, uint32_t verb, unsigned count,
                   void (*write)(unsigned place, unsigned count))
{
    struct heard heard;
    for (unsigned i = 0; i < peers; i++) {
        hear(&state, verb, &heard);
        write(i, count);
        wire_speak(state.peer,
                   &(struct says){ VERB_ANSWER, heard.request, state.epoch, NULL, count }, &body);
    }
    for (unsigned i = 0; i < peers; i++)
        hear(&ends[i], VERB_ANSWER, &heard);
}

static void write_receipts(unsigned place, unsigned count)
{
    body_receipts(&body, place * count, count);
}

static void write_handouts(unsigned place, unsigned count)
{
    body_handouts(&body, place, place * count, count);
}

static void write_outcomes(unsigned place, unsigned count)
{
    body_outcomes(&body, place * count, count);
}

static void submit(unsigned count)
{
    for (unsigned i = 0; i < peers; i++) {
        body_submit(&body, i * count, count);
        say(&clients[i], VERB_SUBMIT, count);
    }
    answer(clients, VERB_SUBMIT, count, write_receipts);
}

static void claim(unsigned count)
{
    for (unsigned i = 0; i < peers; i++) {
        body_claim(&body, i, workers[i].request);
        say(&workers[i], VERB_CLAIM, count);
    }
    answer(workers, VERB_CLAIM, count, write_handouts);
}

static void done(unsigned count)
{
    for (unsigned i = 0; i < peers; i++) {
        body_done(&body, i, i * count, count, tokens);
        say(&workers[i], VERB_DONE, count);
    }
    answer(workers, VERB_DONE, count, write_outcomes);
}

/* A whole life with nothing beside it, whose end is waited for: what each step costs when no other
 * shares its turn. */
static void lone(unsigned count)
{
    struct heard asked, heard;
    submit(count);
    claim(count);
    body_wait(&body, 0);
    say(&clients[0], VERB_WAIT, 0);
    hear(&state, VERB_WAIT, &asked);
    done(count);
    body_record(&body, 0);
    wire_speak(state.peer, &(struct says){ VERB_ANSWER, asked.request, state.epoch, NULL, 0 },
               &body);
    hear(&clients[0], VERB_ANSWER, &heard);
}

/* Twice, and the second time counts: what a first time sets up is none of a task's work. */
static void phase(const char *name, void (*round)(unsigned count), unsigned count)
{
    for (int twice = 0; twice < 2; twice++) {
        phase_begin();
        for (unsigned tasks = 0; tasks < TASKS; tasks += peers * count)
            round(count);
    }
    phase_end(name, TASKS);
}

static void script(void)
{
    msgpack_sbuffer_init(&body);
    join(&state, states_at, "state", 0);
    for (unsigned i = 0; i < PEERS; i++) {
        join(&clients[i], clients_at, "client", i);
        join(&workers[i], workers_at, "worker", i);
    }
    phase("broker.submit.1", submit, 1);
    phase("broker.submit.16", submit, BATCH);
    phase("broker.claim.1", claim, 1);
    phase("broker.claim.16", claim, BATCH);
    phase("broker.done.1", done, 1);
    phase("broker.done.16", done, BATCH);
    peers = 1;
    phase("broker.lone", lone, 1);
}

int main(void)
{
    static const char *const flags[] = { "--broker-clients=tcp://127.0.0.1:1",
                                         "--broker-workers=tcp://127.0.0.1:2",
                                         "--broker-states=tcp://127.0.0.1:3",
                                         "--broker-status=tcp://127.0.0.1:4", NULL };
    count_program(&broker_row, flags, script);
}
