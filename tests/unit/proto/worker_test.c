#include "tests/unit/proto/worker_world.h"

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

TEST(what_comes_after_the_store_was_away_for_long_is_not_begun)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.hand.welcome.lease_ms = 600;
    CHECK(hears_claim(&w));
    uint64_t parked = w.hand.in.header.request;
    w.away = true; /* from here: by another broker the lease may have ended */
    passes(&w, 700);
    CHECK(hears(&w, VERB_HEARTBEAT));
    w.hand.in.header.request = parked;
    hands_out(&w, "test.echo", 0, 2);
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(w.started, 0);
    outcome(&w, STATUS_STALE);
    w.away = false;
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
        HOLDS(what_comes_after_the_store_was_away_for_long_is_not_begun),
        HOLDS(while_the_store_is_away_nothing_running_is_stopped),
        HOLDS(a_broker_that_forgot_it_is_told_all_again),
        HOLDS(drained_it_finishes_says_bye_and_is_idle),
        HOLDS(nodes_that_are_refused_end_the_run),
        HOLDS(wrong_options_make_no_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
