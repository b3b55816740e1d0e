#include "tests/unit/proto/session_world.h"

TEST(what_is_unanswered_is_sent_again_to_the_next_broker)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    uint64_t id = w->in.header.request;
    zmq_close(w->broker);
    bind_broker(w, w->other);
    come_up(w);
    CHECK_INT(w->losses, 1);
    CHECK(broker_hears(w, VERB_GET));
    CHECK(w->in.header.request == id);
    broker_answers(w, STATUS_OK);
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_OK);
}

TEST(a_request_for_once_ends_with_its_connection)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, true, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    zmq_close(w->broker);
    bind_broker(w, w->other);
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_UNAVAILABLE);
}

TEST(a_broker_that_forgot_the_peer_is_greeted_again)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    w->epoch++;
    broker_answers(w, STATUS_HELLO_FIRST);
    come_up(w);
    CHECK(broker_hears(w, VERB_GET));
    broker_answers(w, STATUS_OK);
    until_answers(w, 1);
    CHECK_INT(w->status, STATUS_OK);
}

TEST(a_broker_that_ended_is_noticed_though_nothing_is_open)
{
    struct world *w = *state_;
    w->heartbeat_ms = 60000; /* nothing is said, so nothing fails */
    come_up(w);
    zmq_close(w->broker);
    bind_broker(w, w->other);
    int64_t start = clock_ms();
    come_up(w);
    CHECK(clock_ms() - start < 2000);
    CHECK_INT(w->losses, 1);
}

/* The tick that the loss causes may be the only one before the connection is made again. */
TEST(a_broker_that_ended_in_the_moment_it_was_heard_is_noticed)
{
    struct world *w = *state_;
    struct header header = { .verb = VERB_PING, .request = 99 };
    w->heartbeat_ms = 60000;
    come_up(w);
    CHECK_INT(envelope_send(w->broker, frame_slice(&w->in.peer), &header, NULL), 0);
    usleep(50000);
    int64_t now_ms = clock_ms();
    CHECK(session_read(w->session, now_ms));
    zmq_close(w->broker);
    bind_broker(w, w->other);
    usleep(50000);
    CHECK(!session_read(w->session, now_ms));
    CHECK_INT(w->losses, 0);
    (void)session_tick(w->session, now_ms);
    CHECK_INT(w->losses, 1);
}

TEST(a_broker_that_refuses_the_greeting_is_left_at_once)
{
    struct world *w = *state_;
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_HELLO));
    broker_answers(w, STATUS_UNAVAILABLE); /* it drains */
    void *first = w->broker;
    bind_broker(w, w->other);
    int64_t start = clock_ms();
    come_up(w);
    CHECK(clock_ms() - start < 900); /* and not when the greeting would have timed out */
    CHECK(broker_hears(w, VERB_GET));
    zmq_close(first);
}

TEST(a_broker_that_forgets_and_then_refuses_is_left_for_the_next)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    broker_answers(w, STATUS_HELLO_FIRST);
    CHECK(broker_hears(w, VERB_HELLO));
    broker_answers(w, STATUS_UNAVAILABLE);
    void *first = w->broker;
    bind_broker(w, w->other);
    come_up(w);
    CHECK(broker_hears(w, VERB_GET));
    CHECK_INT(w->losses, 1);
    zmq_close(first);
}

/* A draining broker says so under no number, after it has said so under one. */
TEST(a_broker_to_which_all_is_unavailable_is_left_for_the_next)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    broker_answers(w, STATUS_UNAVAILABLE);
    until_answers(w, 1);
    void *first = w->broker;
    bind_broker(w, w->other);
    come_up(w);
    CHECK_INT(w->losses, 1);
    zmq_close(first);
}

TEST(a_broker_that_is_of_use_again_is_kept)
{
    struct world *w = *state_;
    come_up(w);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(ask(w, false, 0), 0);
        CHECK(broker_hears(w, VERB_GET));
        broker_answers(w, i ? STATUS_OK : STATUS_UNAVAILABLE);
        until_answers(w, i + 1);
    }
    int64_t until_ms = clock_ms() + 4 * w->heartbeat_ms;
    while (clock_ms() < until_ms)
        turn(w);
    CHECK_INT(w->losses, 0);
}

TEST(what_is_said_under_no_number_is_no_answer_to_a_greeting_not_yet_sent)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    broker_answers(w, STATUS_HELLO_FIRST);
    w->in.header.request = 0;
    broker_answers(w, STATUS_HELLO_FIRST);
    usleep(20000); /* so that both are read before the next tick */
    come_up(w);
    CHECK_INT(w->losses, 1);
}

TEST(a_silent_broker_is_left)
{
    struct world *w = *state_;
    come_up(w);
    int64_t start = clock_ms();
    while (w->losses == 0 && clock_ms() - start < 3000)
        turn(w); /* pings every 100 ms stay unanswered: lost after 400 */
    CHECK_INT(w->losses, 1);
    CHECK(clock_ms() - start >= 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(what_is_unanswered_is_sent_again_to_the_next_broker),
        IN_WORLD(a_request_for_once_ends_with_its_connection),
        IN_WORLD(a_broker_that_forgot_the_peer_is_greeted_again),
        IN_WORLD(a_broker_that_ended_is_noticed_though_nothing_is_open),
        IN_WORLD(a_broker_that_ended_in_the_moment_it_was_heard_is_noticed),
        IN_WORLD(a_broker_that_refuses_the_greeting_is_left_at_once),
        IN_WORLD(a_broker_that_forgets_and_then_refuses_is_left_for_the_next),
        IN_WORLD(a_broker_to_which_all_is_unavailable_is_left_for_the_next),
        IN_WORLD(a_broker_that_is_of_use_again_is_kept),
        IN_WORLD(what_is_said_under_no_number_is_no_answer_to_a_greeting_not_yet_sent),
        IN_WORLD(a_silent_broker_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
