#pragma once
/* A worker of libgantry, ticked by the test, on the same thread as the broker that is played by
 * hand. */
#include "tests/unit/proto/hand.h"

#include "proto/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { JOBS_MAX = 600 };

struct world {
    struct hand hand;
    gantry_worker_t *worker;
    bool at_once; /* jobs end as they start */
    gantry_job_t *jobs[JOBS_MAX];
    int started;
    int stops[3]; /* by reason */
    uint8_t session[16];
    uint64_t seq; /* of the last claim heard */
    uint32_t wanted;
    bool seen[VERB_END];
    bool away; /* heartbeats are answered UNAVAILABLE */
};

static const char output[] = "\x81\xa2ok\xc3";

static inline void on_run(gantry_job_t *job, void *arg)
{
    struct world *w = arg;
    const struct gantry_end end = { .output = { output, sizeof output - 1 } };
    w->jobs[w->started++ % JOBS_MAX] = job;
    if (w->at_once)
        gantry_job_done(job, &end);
}

static inline void on_stop(gantry_job_t *job, enum gantry_stop why, void *arg)
{
    struct world *w = arg;
    w->stops[why]++;
    if (why == GANTRY_STOP_CANCEL)
        gantry_job_cancelled(job, NULL);
}

static inline void begin(struct world *w, uint32_t slots)
{
    static const struct gantry_input inputs[] = {
        { .name = "text", .type = "text", .required = true }
    };
    static const char *const outputs[] = { "text", NULL };
    static struct gantry_node nodes[2];
    static char endpoint[64]; /* tests of other programs may run in this folder too */
    memset(w, 0, sizeof *w);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s.ipc", program_invocation_short_name);
    hand_open(&w->hand, endpoint);
    nodes[0] = (struct gantry_node){ .name = "test.echo",
                                     .doc = "says it again",
                                     .inputs = inputs,
                                     .inputs_count = 1,
                                     .outputs = outputs,
                                     .run = on_run,
                                     .stop = on_stop,
                                     .arg = w };
    nodes[1] = (struct gantry_node){ .name = "other.nothing", .run = on_run, .arg = w };
    const struct gantry_worker_options options = { .brokers = w->hand.endpoint,
                                                   .name = "hand",
                                                   .slots = slots,
                                                   .nodes = nodes,
                                                   .nodes_count = 2 };
    w->worker = gantry_worker_new(&options);
    assert_non_null(w->worker);
}

static inline void end(struct world *w)
{
    gantry_worker_destroy(&w->worker);
    hand_close(&w->hand);
}

static inline void turn(struct world *w)
{
    while (gantry_worker_read(w->worker, clock_ms()))
        ;
    gantry_worker_tick(w->worker, clock_ms());
    usleep(500);
}

/* What every broker does: HELLO, PING, REGISTER, HEARTBEAT. False: the test has to answer. */
static inline bool plays_along(struct world *w)
{
    uint32_t verb = w->hand.in.header.verb;
    w->seen[verb] = true;
    if (verb == VERB_HELLO)
        hand_welcomes(&w->hand);
    else if (verb == VERB_PING || verb == VERB_REGISTER || (verb == VERB_HEARTBEAT && !w->away))
        hand_answer(&w->hand, 0, false);
    else if (verb == VERB_HEARTBEAT)
        hand_refuses(&w->hand, STATUS_UNAVAILABLE, 100);
    else
        return false;
    return true;
}

/* Until a message of this verb is there; what is played along is answered meanwhile. */
static inline bool hears(struct world *w, uint32_t verb)
{
    int64_t until = clock_ms() + 3000;
    while (clock_ms() < until) {
        turn(w);
        while (hand_hears(&w->hand)) {
            if (w->hand.in.header.verb == verb)
                return true;
            plays_along(w);
        }
    }
    return false;
}

static inline void passes(struct world *w, int64_t ms)
{
    int64_t until = clock_ms() + ms;
    while (clock_ms() < until) {
        turn(w);
        while (hand_hears(&w->hand))
            plays_along(w);
    }
}

static inline bool hears_claim(struct world *w)
{
    struct m_claim claim;
    if (!hears(w, VERB_CLAIM) || message_decode(&m_claim_layout, hand_body(&w->hand), &claim, NULL))
        return false;
    memcpy(w->session, claim.session.data, sizeof w->session);
    w->seq = claim.seq;
    w->wanted = w->hand.in.header.count;
    return true;
}

/* Answers a claim with tasks token..token+count. */
static inline void hands_out(struct world *w, const char *node, int token, int count)
{
    for (int i = 0; i < count; i++) {
        char id[16], lease[16];
        snprintf(id, sizeof id, "t%d", token + i);
        snprintf(lease, sizeof lease, "lease%07d", token + i);
        struct m_handout m = { .id = slice_of(id),
                               .task = slice_of(node),
                               .session = slice_make(w->session, 16),
                               .token = slice_make(lease, 12),
                               .attempt = 3,
                               .timeout_ms = 77,
                               .failures = 1,
                               .crashes = 2,
                               .checkpoint = SLICE("\xa4left"),
                               .input = SLICE("\x81\xa4text\xa2hi") };
        hand_write(&w->hand, &m_handout_layout, &m);
    }
    hand_answer(&w->hand, 0, true);
}

static inline void is_given(struct world *w, int token, int count)
{
    int before = w->started;
    assert_true(hears_claim(w));
    hands_out(w, "test.echo", token, count);
    for (int i = 0; i < 1000 && w->started < before + count; i++)
        turn(w);
    CHECK_INT(w->started, before + count);
}

/* Each item of the last message gets this outcome. */
static inline void outcome(struct world *w, uint32_t status)
{
    uint32_t count = w->hand.in.header.count;
    struct m_outcome m = { .status = status };
    for (uint32_t i = 0; i < count; i++)
        hand_write(&w->hand, &m_outcome_layout, &m);
    hand_answer(&w->hand, 0, true);
}

static inline struct m_result result(struct world *w, uint32_t i)
{
    struct m_result m;
    CHECK_INT(message_decode(&m_result_layout, hand_item(&w->hand, i), &m, NULL), 0);
    return m;
}

static inline uint32_t held(struct world *w, uint64_t *ret_open)
{
    struct m_heartbeat m;
    struct reader reader;
    uint32_t count = 0;
    CHECK(hears(w, VERB_HEARTBEAT));
    CHECK_INT(codec_check(hand_body(&w->hand)), 0);
    CHECK_INT(message_decode(&m_heartbeat_layout, hand_body(&w->hand), &m, NULL), 0);
    CHECK(codec_array(m.held, &reader, &count));
    *ret_open = m.claim_open;
    return count;
}

/* A heartbeat may be on its way already when the one before is answered. */
static inline bool comes_to_hold(struct world *w, uint32_t count)
{
    uint64_t open;
    for (int i = 0; i < 20; i++) {
        if (held(w, &open) == count)
            return true;
        hand_answer(&w->hand, 0, false);
    }
    return false;
}

static inline void beat_says(struct world *w, bool stale, const char *token)
{
    uint8_t list[16] = { 0x91, 0xc4, 12 };
    memcpy(list + 3, token, 12);
    struct slice tokens = slice_make(list, 15);
    struct m_beat m = { .stale = stale ? tokens : (struct slice){ 0 },
                        .cancel = stale ? (struct slice){ 0 } : tokens };
    hand_write(&w->hand, &m_beat_layout, &m);
    hand_answer(&w->hand, 0, false);
}
