#include "tests/unit/proto/hand.h"

#include "proto/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { JOBS_MAX = 600 };

/* The worker is ticked by the test, on the same thread as the broker that is played by hand. */
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

static void on_run(gantry_job_t *job, void *arg)
{
    struct world *w = arg;
    const struct gantry_end end = { .output = { output, sizeof output - 1 } };
    w->jobs[w->started++ % JOBS_MAX] = job;
    if (w->at_once)
        gantry_job_done(job, &end);
}

static void on_stop(gantry_job_t *job, enum gantry_stop why, void *arg)
{
    struct world *w = arg;
    w->stops[why]++;
    if (why == GANTRY_STOP_CANCEL)
        gantry_job_cancelled(job, NULL);
}

static void begin(struct world *w, uint32_t slots)
{
    static const struct gantry_input inputs[] = {
        { .name = "text", .type = "text", .required = true }
    };
    static const char *const outputs[] = { "text", NULL };
    static struct gantry_node nodes[2];
    memset(w, 0, sizeof *w);
    hand_open(&w->hand, "ipc://worker_test.ipc");
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

static void end(struct world *w)
{
    gantry_worker_destroy(&w->worker);
    hand_close(&w->hand);
}

static void turn(struct world *w)
{
    while (gantry_worker_read(w->worker, clock_ms()))
        ;
    gantry_worker_tick(w->worker, clock_ms());
    usleep(500);
}

/* What every broker does: HELLO, PING, REGISTER, HEARTBEAT. False: the test has to answer. */
static bool plays_along(struct world *w)
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
static bool hears(struct world *w, uint32_t verb)
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

static void passes(struct world *w, int64_t ms)
{
    int64_t until = clock_ms() + ms;
    while (clock_ms() < until) {
        turn(w);
        while (hand_hears(&w->hand))
            plays_along(w);
    }
}

static bool hears_claim(struct world *w)
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
static void hands_out(struct world *w, const char *node, int token, int count)
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

static void is_given(struct world *w, int token, int count)
{
    int before = w->started;
    assert_true(hears_claim(w));
    hands_out(w, "test.echo", token, count);
    for (int i = 0; i < 1000 && w->started < before + count; i++)
        turn(w);
    CHECK_INT(w->started, before + count);
}

/* Each item of the last message gets this outcome. */
static void outcome(struct world *w, uint32_t status)
{
    uint32_t count = w->hand.in.header.count;
    struct m_outcome m = { .status = status };
    for (uint32_t i = 0; i < count; i++)
        hand_write(&w->hand, &m_outcome_layout, &m);
    hand_answer(&w->hand, 0, true);
}

static struct m_result result(struct world *w, uint32_t i)
{
    struct m_result m;
    CHECK_INT(message_decode(&m_result_layout, hand_item(&w->hand, i), &m, NULL), 0);
    return m;
}

static uint32_t held(struct world *w, uint64_t *ret_open)
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
static bool comes_to_hold(struct world *w, uint32_t count)
{
    uint64_t open;
    for (int i = 0; i < 20; i++) {
        if (held(w, &open) == count)
            return true;
        hand_answer(&w->hand, 0, false);
    }
    return false;
}

static void beat_says(struct world *w, bool stale, const char *token)
{
    uint8_t list[16] = { 0x91, 0xc4, 12 };
    memcpy(list + 3, token, 12);
    struct slice tokens = slice_make(list, 15);
    struct m_beat m = { .stale = stale ? tokens : (struct slice){ 0 },
                        .cancel = stale ? (struct slice){ 0 } : tokens };
    hand_write(&w->hand, &m_beat_layout, &m);
    hand_answer(&w->hand, 0, false);
}

TEST(it_registers_and_renews_before_it_claims_all_its_slots)
{
    UNUSED;
    static struct world w;
    struct m_register m;
    struct m_node node;
    struct reader reader;
    struct slice item = { 0 };
    uint32_t count;
    begin(&w, 5);
    CHECK(hears(&w, VERB_HELLO));
    struct m_hello hello;
    CHECK_INT(message_decode(&m_hello_layout, hand_body(&w.hand), &hello, NULL), 0);
    CHECK_SLICE(hello.role, "worker");
    CHECK_SLICE(hello.services, "\x92\xa4test\xa5other");
    CHECK_INT(hello.slots, 5);
    CHECK_INT(hello.session.size, 16);
    hand_welcomes(&w.hand);
    CHECK(hears(&w, VERB_REGISTER));
    CHECK(!w.seen[VERB_HEARTBEAT]);
    CHECK_INT(message_decode(&m_register_layout, hand_body(&w.hand), &m, NULL), 0);
    CHECK(codec_array(m.nodes, &reader, &count) && count == 2 && reader_value(&reader, &item));
    CHECK_INT(message_decode(&m_node_layout, item, &node, NULL), 0);
    CHECK_SLICE(node.name, "test.echo");
    CHECK_SLICE(node.outputs, "\x91\xa4text");
    CHECK(hears_claim(&w));
    CHECK(w.seen[VERB_HEARTBEAT]);
    CHECK_INT(w.seq, 1);
    CHECK_INT(w.wanted, 5);
    end(&w);
}

TEST(results_of_one_turn_go_in_one_message_and_free_slots_are_claimed)
{
    UNUSED;
    static struct world w;
    begin(&w, 300);
    w.at_once = true;
    is_given(&w, 0, 256);
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 256);
    CHECK_INT(w.hand.in.header.service.size, 0);
    struct m_result m = result(&w, 255);
    CHECK_SLICE(m.id, "t255");
    CHECK_SLICE(m.state, "completed");
    CHECK_SLICE(m.worker, "hand");
    CHECK_SLICE(m.token, "lease0000255");
    CHECK_INT(m.output.size, sizeof output - 1);
    outcome(&w, 0);
    CHECK(hears_claim(&w));
    CHECK_INT(w.seq, 2);
    CHECK_INT(w.wanted, 256); /* of 300: the broker's batch */
    CHECK_INT(gantry_worker_jobs(w.worker), 0);
    end(&w);
}

TEST(a_result_is_told_until_it_is_written_or_stale)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.at_once = true;
    is_given(&w, 0, 2);
    CHECK(hears(&w, VERB_DONE));
    hand_refuses(&w.hand, STATUS_UNAVAILABLE, 100); /* the message */
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 2);
    struct m_outcome bad = { .status = STATUS_UNAVAILABLE };
    struct m_outcome stale = { .status = STATUS_STALE };
    hand_write(&w.hand, &m_outcome_layout, &bad); /* one of it */
    hand_write(&w.hand, &m_outcome_layout, &stale);
    hand_answer(&w.hand, 0, true);
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 1);
    CHECK_SLICE(result(&w, 0).id, "t0");
    CHECK(comes_to_hold(&w, 1)); /* not acknowledged: held */
    hand_answer(&w.hand, 0, false);
    end(&w);
}

TEST(a_result_that_is_refused_becomes_a_failure)
{
    UNUSED;
    static struct world w;
    struct m_fault fault;
    begin(&w, 2);
    w.at_once = true;
    is_given(&w, 0, 2);
    CHECK(hears(&w, VERB_DONE));
    hand_refuses(&w.hand, STATUS_MALFORMED, 0); /* because of one of them: they come one by one */
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 1);
    outcome(&w, 0);
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 1);
    CHECK_SLICE(result(&w, 0).id, "t1");
    outcome(&w, STATUS_INVALID);
    CHECK(hears(&w, VERB_DONE));
    struct m_result m = result(&w, 0);
    CHECK_SLICE(m.state, "failed");
    CHECK_INT(message_decode(&m_fault_layout, m.error, &fault, NULL), 0);
    CHECK_SLICE(fault.code, "INVALID");
    outcome(&w, 0);
    passes(&w, 50);
    CHECK(!w.seen[VERB_DONE]);
    end(&w);
}

TEST(what_no_message_can_carry_fails_and_dirty_words_are_cleaned)
{
    UNUSED;
    static struct world w;
    static uint8_t big[2000] = { 0x81, 0xa1, 'x', 0xc5, 0x07, 0xca };
    struct m_fault fault;
    begin(&w, 3);
    w.hand.welcome.body_max = 1024;
    is_given(&w, 0, 3);
    const struct gantry_end huge = { .output = { big, sizeof big } };
    const struct gantry_end dirty = { .code = GANTRY_FAILED,
                                      .message = "caf\xe9",
                                      .exit_code = 3,
                                      .last_words = "\xe5\xa5\xbd\xff!" };
    const struct gantry_end no_map = { .output = { "\x01", 1 } };
    gantry_job_done(w.jobs[0], &huge);
    gantry_job_failed(w.jobs[1], &dirty);
    gantry_job_done(w.jobs[2], &no_map);
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 3);
    CHECK_INT(message_decode(&m_fault_layout, result(&w, 0).error, &fault, NULL), 0);
    CHECK_SLICE(fault.message, "caf?");
    CHECK_SLICE(fault.stderr, "\xe5\xa5\xbd?!");
    CHECK_INT(fault.exit, 3);
    CHECK_SLICE(result(&w, 1).state, "failed");
    CHECK_INT(message_decode(&m_fault_layout, result(&w, 2).error, &fault, NULL), 0);
    CHECK_SLICE(fault.code, "TOO_LARGE");
    end(&w);
}

TEST(what_cannot_be_run_goes_back_and_what_came_twice_is_ignored)
{
    UNUSED;
    static struct world w;
    begin(&w, 4);
    is_given(&w, 0, 2);
    CHECK(hears_claim(&w));
    CHECK_INT(w.wanted, 2);
    hands_out(&w, "test.echo", 0, 2); /* held already */
    CHECK(hears_claim(&w));
    CHECK_INT(w.started, 2);
    hands_out(&w, "test.unknown", 10, 1);
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(w.hand.in.header.count, 1);
    struct m_handout m;
    CHECK_INT(message_decode(&m_handout_layout, hand_item(&w.hand, 0), &m, NULL), 0);
    CHECK_SLICE(m.id, "t10");
    CHECK_SLICE(m.token, "lease0000010");
    outcome(&w, 0);
    CHECK(hears_claim(&w));
    hands_out(&w, "test.echo", 20, 3); /* more than was asked for */
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(w.started, 4);
    end(&w);
}

TEST(a_heartbeat_tells_what_is_held_and_its_answer_stops_work)
{
    UNUSED;
    static struct world w;
    uint64_t open;
    begin(&w, 3);
    is_given(&w, 0, 3);
    CHECK_TEXT(gantry_job_id(w.jobs[0]), "t0");
    CHECK_TEXT(gantry_job_task(w.jobs[0]), "test.echo");
    CHECK_INT(gantry_job_attempt(w.jobs[0]), 3);
    CHECK_INT(gantry_job_timeout_ms(w.jobs[0]), 77);
    CHECK_INT(gantry_job_input(w.jobs[0]).size, 9);
    gantry_job_progress(w.jobs[0], 0.5);
    CHECK_INT(held(&w, &open), 3);
    CHECK_INT(open, 2); /* no claim is open: the next one's */
    beat_says(&w, false, "lease0000001");
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.stops[GANTRY_STOP_CANCEL], 1);
    CHECK_SLICE(result(&w, 0).state, "cancelled");
    outcome(&w, 0);
    CHECK(comes_to_hold(&w, 2));
    beat_says(&w, true, "lease0000002");
    CHECK(comes_to_hold(&w, 1));
    hand_answer(&w.hand, 0, false);
    CHECK_INT(w.stops[GANTRY_STOP_STALE], 1);
    CHECK_INT(gantry_worker_jobs(w.worker), 2); /* it still uses its slot */
    gantry_job_done(w.jobs[2], NULL);
    CHECK_INT(gantry_worker_jobs(w.worker), 1);
    w.seen[VERB_DONE] = false;
    passes(&w, 100);
    CHECK(!w.seen[VERB_DONE]);
    end(&w);
    CHECK_INT(w.stops[GANTRY_STOP_STALE], 2); /* the one that was left */
}

TEST(without_renewal_work_is_stopped_before_the_lease_ends)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.hand.welcome.lease_ms = 1500;
    is_given(&w, 0, 2);
    int64_t until = gantry_worker_lease_until(w.worker);
    while (w.stops[GANTRY_STOP_STALE] == 0 && clock_ms() < until + 1000) {
        turn(&w);
        while (hand_hears(&w.hand))
            if (w.hand.in.header.verb == VERB_PING)
                hand_answer(&w.hand, 0, false);
    }
    CHECK_INT(w.stops[GANTRY_STOP_STALE], 2);
    CHECK(clock_ms() < until);
    end(&w);
}

TEST(what_lay_unread_longer_than_the_lease_is_not_begun)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.hand.welcome.lease_ms = 600;
    CHECK(hears_claim(&w));
    hands_out(&w, "test.echo", 0, 2);
    usleep(700000); /* stopped, and woken again */
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(w.started, 0);
    outcome(&w, STATUS_STALE);
    is_given(&w, 2, 2);
    end(&w);
}

TEST(while_the_store_is_away_nothing_running_is_stopped)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.hand.welcome.lease_ms = 1200;
    is_given(&w, 0, 1);
    w.away = true;
    passes(&w, 200);
    w.seen[VERB_CLAIM] = false;
    passes(&w, 1200);
    CHECK_INT(w.stops[GANTRY_STOP_STALE], 0);
    CHECK(!w.seen[VERB_CLAIM]); /* but nothing new is asked for */
    CHECK(gantry_worker_lease_until(w.worker) > clock_ms());
    end(&w);
}

TEST(a_broker_that_forgot_it_is_told_all_again)
{
    UNUSED;
    static struct world w;
    uint64_t open;
    begin(&w, 2);
    is_given(&w, 0, 1);
    CHECK(hears_claim(&w));
    CHECK_INT(w.seq, 2); /* parked: and then the broker is another */
    CHECK(hears(&w, VERB_PING));
    w.hand.welcome.epoch = 2;
    w.seen[VERB_REGISTER] = false;
    hand_refuses(&w.hand, STATUS_HELLO_FIRST, 0);
    CHECK(hears(&w, VERB_HELLO));
    hand_welcomes(&w.hand);
    CHECK_INT(held(&w, &open), 1); /* the first since WELCOME */
    CHECK_INT(open, 3);            /* claim 2 will not be answered */
    hand_answer(&w.hand, 0, false);
    CHECK(hears_claim(&w));
    CHECK(w.seen[VERB_REGISTER]);
    CHECK_INT(w.seq, 3);
    CHECK_INT(w.wanted, 1);
    CHECK_INT(w.hand.in.header.epoch, 2);
    end(&w);
}

static struct gantry_bytes bytes(const void *data, size_t size)
{
    return (struct gantry_bytes){ data, size };
}

TEST(what_is_tried_again_says_when_and_what_it_leaves)
{
    UNUSED;
    static struct world w;
    struct m_fault fault;
    const struct gantry_end bad = { .code = GANTRY_TIMEOUT, .message = "too late" };
    begin(&w, 4);
    is_given(&w, 0, 4);
    CHECK_INT(gantry_job_failures(w.jobs[0]), 1);
    CHECK_INT(gantry_job_crashes(w.jobs[0]), 2);
    struct gantry_bytes left = gantry_job_checkpoint(w.jobs[0]);
    CHECK(left.size == 5 && memcmp(left.data, "\xa4left", 5) == 0);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes("\x01", 1)), 0);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes("\xa3two", 4)), 0);
    gantry_job_retry(w.jobs[0], &bad, -1);
    gantry_job_retry(w.jobs[1], &bad, 0); /* at once */
    CHECK_INT(gantry_job_keep(w.jobs[2], bytes("\x07", 1)), 0);
    gantry_job_snooze(w.jobs[2], 9000);
    CHECK_INT(gantry_job_keep(w.jobs[3], bytes("\x08", 1)), 0);
    gantry_job_failed(w.jobs[3], &bad);
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 4);
    struct m_result m = result(&w, 0);
    CHECK_SLICE(m.state, "retry");
    CHECK_INT(m.retry_after_ms, 0);
    CHECK_SLICE(m.checkpoint, "\xa3two");
    CHECK_INT(message_decode(&m_fault_layout, m.error, &fault, NULL), 0);
    CHECK_SLICE(fault.code, "TIMEOUT");
    CHECK_INT(result(&w, 1).retry_after_ms, 1);
    CHECK_INT(result(&w, 1).checkpoint.size, 0);
    m = result(&w, 2);
    CHECK_SLICE(m.state, "snoozed");
    CHECK_INT(m.retry_after_ms, 9000);
    CHECK_SLICE(m.checkpoint, "\x07");
    CHECK_INT(m.error.size, 0);
    CHECK_SLICE(result(&w, 3).state, "failed");
    CHECK_INT(result(&w, 3).checkpoint.size, 0);
    outcome(&w, 0);
    end(&w);
}

TEST(a_checkpoint_is_bounded_and_goes_back_with_its_stage)
{
    UNUSED;
    static struct world w;
    static uint8_t big[CHECKPOINT_MAX + 1] = { 0xc6, 0, 0, 0xff, 0xfc };
    static const char deep[] = "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01";
    struct m_handout m;
    begin(&w, 1);
    is_given(&w, 0, 1);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes(big, sizeof big)), GANTRY_TOO_LARGE);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes("\xc1", 1)), GANTRY_INVALID);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes(deep, sizeof deep - 1)), GANTRY_INVALID);
    big[4] = 0xfb;
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes(big, CHECKPOINT_MAX)), 0);
    gantry_job_return(w.jobs[0]);
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(message_decode(&m_handout_layout, hand_item(&w.hand, 0), &m, NULL), 0);
    CHECK_INT(m.checkpoint.size, CHECKPOINT_MAX);
    outcome(&w, STATUS_TOO_LARGE); /* then it goes back without */
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(message_decode(&m_handout_layout, hand_item(&w.hand, 0), &m, NULL), 0);
    CHECK_INT(m.checkpoint.size, 0);
    outcome(&w, 0);
    end(&w);
}

static void beat_drains(struct world *w, bool drain)
{
    struct m_beat m = { .drain = drain };
    uint64_t open;
    (void)held(w, &open);
    hand_write(&w->hand, &m_beat_layout, &m);
    hand_answer(&w->hand, 0, false);
}

TEST(an_operator_drains_it_and_it_stays_and_claims_again)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.at_once = true;
    CHECK(hears_claim(&w));
    uint64_t request = w.hand.in.header.request;
    beat_drains(&w, true);
    beat_drains(&w, true); /* so that the first was read */
    w.hand.in.header.request = request;
    hands_out(&w, "test.echo", 0, 1);
    CHECK(hears(&w, VERB_RETURN));
    outcome(&w, 0);
    w.seen[VERB_CLAIM] = w.seen[VERB_BYE] = false;
    for (int i = 0; i < 4; i++)
        beat_drains(&w, true);
    CHECK(!w.seen[VERB_CLAIM] && !w.seen[VERB_BYE]);
    CHECK_INT(w.started, 0);
    beat_drains(&w, false);
    is_given(&w, 1, 1);
    end(&w);
}

TEST(its_own_drain_is_taken_back_unless_it_left)
{
    UNUSED;
    static struct world w;
    begin(&w, 1);
    is_given(&w, 0, 1);
    gantry_worker_drain(w.worker);
    passes(&w, 50);
    gantry_worker_undrain(w.worker);
    gantry_job_done(w.jobs[0], NULL);
    CHECK(hears(&w, VERB_DONE));
    outcome(&w, 0);
    CHECK(hears_claim(&w));
    gantry_worker_drain(w.worker);
    CHECK(hears(&w, VERB_BYE));
    gantry_worker_undrain(w.worker);
    CHECK(gantry_worker_idle(w.worker));
    end(&w);
}

TEST(drained_it_finishes_says_bye_and_is_idle)
{
    UNUSED;
    static struct world w;
    struct m_bye bye;
    begin(&w, 2);
    is_given(&w, 0, 1);
    gantry_worker_drain(w.worker);
    passes(&w, 150);
    CHECK(!gantry_worker_idle(w.worker));
    gantry_worker_stop_jobs(w.worker, GANTRY_STOP_DRAIN);
    CHECK_INT(w.stops[GANTRY_STOP_DRAIN], 1);
    gantry_job_return(w.jobs[0]);
    CHECK(hears(&w, VERB_RETURN));
    outcome(&w, 0);
    CHECK(hears(&w, VERB_BYE));
    CHECK_INT(message_decode(&m_bye_layout, hand_body(&w.hand), &bye, NULL), 0);
    CHECK_INT(bye.session.size, 16);
    CHECK(gantry_worker_idle(w.worker));
    CHECK_INT(gantry_worker_run(w.worker, 1000), 0);
    end(&w);
}

TEST(nodes_that_are_refused_end_the_run)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    CHECK(hears(&w, VERB_REGISTER));
    hand_refuses(&w.hand, STATUS_INVALID, 0);
    CHECK_INT(gantry_worker_run(w.worker, 3000), GANTRY_INVALID);
    CHECK_INT(gantry_worker_run(w.worker, 50), GANTRY_TIMEOUT);
    end(&w);
}

TEST(wrong_options_make_no_worker)
{
    UNUSED;
    static struct gantry_node nodes[1] = { { .name = "noservice", .run = on_run } };
    struct gantry_worker_options options = { .brokers = "ipc://x.ipc",
                                             .nodes = nodes,
                                             .nodes_count = 1 };
    CHECK(gantry_worker_new(&options) == NULL);
    nodes[0].name = "a.b";
    options.brokers = NULL;
    CHECK(gantry_worker_new(&options) == NULL);
    options.brokers = "ipc://x.ipc";
    options.nodes_count = 0;
    CHECK(gantry_worker_new(&options) == NULL);
    options.nodes_count = 1;
    nodes[0].run = NULL;
    CHECK(gantry_worker_new(&options) == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(it_registers_and_renews_before_it_claims_all_its_slots),
        HOLDS(results_of_one_turn_go_in_one_message_and_free_slots_are_claimed),
        HOLDS(a_result_is_told_until_it_is_written_or_stale),
        HOLDS(a_result_that_is_refused_becomes_a_failure),
        HOLDS(what_no_message_can_carry_fails_and_dirty_words_are_cleaned),
        HOLDS(what_cannot_be_run_goes_back_and_what_came_twice_is_ignored),
        HOLDS(a_heartbeat_tells_what_is_held_and_its_answer_stops_work),
        HOLDS(without_renewal_work_is_stopped_before_the_lease_ends),
        HOLDS(what_lay_unread_longer_than_the_lease_is_not_begun),
        HOLDS(while_the_store_is_away_nothing_running_is_stopped),
        HOLDS(a_broker_that_forgot_it_is_told_all_again),
        HOLDS(what_is_tried_again_says_when_and_what_it_leaves),
        HOLDS(a_checkpoint_is_bounded_and_goes_back_with_its_stage),
        HOLDS(an_operator_drains_it_and_it_stays_and_claims_again),
        HOLDS(its_own_drain_is_taken_back_unless_it_left),
        HOLDS(drained_it_finishes_says_bye_and_is_idle),
        HOLDS(nodes_that_are_refused_end_the_run),
        HOLDS(wrong_options_make_no_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
