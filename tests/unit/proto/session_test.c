#include "tests/unit/proto/session_world.h"

TEST(a_request_made_before_the_welcome_is_sent_after_it)
{
    struct world *w = *state_;
    CHECK_INT(ask(w, false, 0), 0);
    come_up(w);
    CHECK(broker_hears(w, VERB_GET));
    CHECK_INT(w->in.header.epoch, w->epoch);
    broker_answers(w, STATUS_NOT_FOUND);
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_NOT_FOUND);
    CHECK_INT(session_open_requests(w->session), 0);
}

TEST(one_request_more_than_the_bound_is_busy)
{
    struct world *w = *state_;
    for (int i = 0; i < 4; i++)
        CHECK_INT(ask(w, false, 0), 0);
    CHECK_INT(ask(w, false, 0), STATUS_BUSY);
    session_destroy(&w->session);
    CHECK_INT(w->answers, 4);
    CHECK_INT(w->status, STATUS_UNAVAILABLE);
}

TEST(requests_beyond_the_window_wait_here_in_order)
{
    struct world *w = *state_;
    w->window = 2;
    w->heartbeat_ms = 60000; /* no PING that stays unanswered ends it */
    come_up(w);
    for (int i = 0; i < 4; i++)
        CHECK_INT(ask(w, false, 0), 0);
    hears(w, VERB_GET, 2);
    uint64_t second = w->in.header.request;
    broker_answers(w, STATUS_OK);
    hears(w, VERB_GET, 1);
    CHECK(w->in.header.request > second);
    CHECK_INT(w->answers, 1);
    broker_answers(w, STATUS_OK);
    hears(w, VERB_GET, 1);
}

TEST(what_timed_out_here_still_counts_for_the_window)
{
    struct world *w = *state_;
    w->window = 1;
    w->heartbeat_ms = 60000;
    come_up(w);
    CHECK_INT(ask(w, false, 20), 0);
    hears(w, VERB_GET, 1);
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_TIMEOUT);
    CHECK_INT(ask(w, false, 0), 0);
    hears(w, VERB_GET, 0);
    broker_answers(w, STATUS_OK); /* late, yet it makes room */
    hears(w, VERB_GET, 1);
    CHECK_INT(w->answers, 1);
}

TEST(who_only_waits_needs_no_window_and_a_new_broker_has_a_new_one)
{
    struct world *w = *state_;
    w->window = 1;
    w->heartbeat_ms = 60000;
    come_up(w);
    CHECK_INT(ask_verb(w, VERB_WAIT, 0), 0);
    CHECK_INT(ask_verb(w, VERB_WAIT, 0), 0);
    hears(w, VERB_WAIT, 2);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK_INT(ask(w, false, 0), 0);
    hears(w, VERB_GET, 1);
    w->epoch++;
    broker_answers(w, STATUS_HELLO_FIRST);
    come_up(w);
    CHECK(broker_hears(w, VERB_WAIT));
    CHECK(broker_hears(w, VERB_WAIT));
    hears(w, VERB_GET, 1);
}

TEST(a_request_whose_time_is_over_is_answered_here_and_only_once)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 20), 0);
    CHECK(broker_hears(w, VERB_GET));
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_TIMEOUT);
    broker_answers(w, STATUS_OK); /* too late: nobody is told */
    for (int i = 0; i < 50; i++)
        turn(w);
    CHECK_INT(w->answers, 1);
}

TEST(a_body_that_is_no_msgpack_is_an_answer_of_its_own)
{
    struct world *w = *state_;
    struct header header = { .verb = VERB_ANSWER };
    zmq_msg_t body;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    header.request = w->in.header.request;
    zmq_msg_init_size(&body, 5);
    memcpy(zmq_msg_data(&body), "\xdd\x0f\xff\xff\xff", 5);
    CHECK_INT(envelope_send(w->broker, frame_slice(&w->in.peer), &header, &body), 0);
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_MALFORMED);
    zmq_msg_close(&body);
}

TEST(a_ping_of_the_broker_is_answered)
{
    struct world *w = *state_;
    struct header header = { .verb = VERB_PING, .request = 99 };
    come_up(w);
    CHECK_INT(envelope_send(w->broker, frame_slice(&w->in.peer), &header, NULL), 0);
    CHECK(broker_hears(w, VERB_ANSWER));
    CHECK_INT(w->in.header.request, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_request_made_before_the_welcome_is_sent_after_it),
        IN_WORLD(one_request_more_than_the_bound_is_busy),
        IN_WORLD(requests_beyond_the_window_wait_here_in_order),
        IN_WORLD(what_timed_out_here_still_counts_for_the_window),
        IN_WORLD(who_only_waits_needs_no_window_and_a_new_broker_has_a_new_one),
        IN_WORLD(a_request_whose_time_is_over_is_answered_here_and_only_once),
        IN_WORLD(a_body_that_is_no_msgpack_is_an_answer_of_its_own),
        IN_WORLD(a_ping_of_the_broker_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
