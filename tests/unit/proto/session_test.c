#include "tests/unit/test.h"

#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/session.h"

#include <errno.h>
#include <unistd.h>

/* A broker played by hand, on a socket that can be closed and bound again. */
struct world {
    void *context;
    void *broker;
    session_t *session;
    struct envelope in; /* the broker's last message */
    uint32_t epoch;
    uint32_t window;
    uint32_t heartbeat_ms;
    int answers;
    int welcomes;
    int losses;
    uint32_t status; /* of the last answer */
};

static const char endpoint[] = "ipc://session_test.ipc";
static const char other[] = "ipc://session_test2.ipc";

static void bind_broker(struct world *w, const char *at)
{
    int none = 0;
    w->broker = zmq_socket(w->context, ZMQ_ROUTER);
    zmq_setsockopt(w->broker, ZMQ_LINGER, &none, sizeof none);
    CHECK_INT(zmq_bind(w->broker, at), 0);
    w->epoch++;
}

static void turn(struct world *w)
{
    session_tick(w->session, clock_ms());
    while (session_read(w->session, clock_ms()))
        ;
    usleep(1000);
}

/* Runs the session until the broker has a message; PINGs are passed over. */
static bool broker_hears(struct world *w, uint32_t verb)
{
    for (int i = 0; i < 5000; i++) {
        turn(w);
        while (envelope_receive(&w->in, w->broker, true) == 0)
            if (w->in.header.verb == verb)
                return true;
    }
    return false;
}

static void broker_answers(struct world *w, uint32_t status)
{
    struct header header = { .verb = VERB_ANSWER,
                             .request = w->in.header.request,
                             .status = status };
    CHECK_INT(envelope_send(w->broker, frame_slice(&w->in.peer), &header, NULL), 0);
}

static void broker_welcomes(struct world *w)
{
    struct m_welcome welcome = { w->epoch, w->heartbeat_ms, 400,       1000,
                                 256,      1 << 20,         w->window, SLICE_INIT("test") };
    struct header header = { .verb = VERB_ANSWER, .request = w->in.header.request };
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    zmq_msg_t body;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    message_encode(&m_welcome_layout, &welcome, &pk);
    zmq_msg_init_size(&body, buffer.size);
    memcpy(zmq_msg_data(&body), buffer.data, buffer.size);
    CHECK_INT(envelope_send(w->broker, frame_slice(&w->in.peer), &header, &body), 0);
    msgpack_sbuffer_destroy(&buffer);
    zmq_msg_close(&body);
}

static void on_answer(void *arg, const struct header *header, struct slice body)
{
    struct world *w = arg;
    (void)body;
    w->answers++;
    w->status = header->status;
}

static void on_welcomed(void *arg, const struct m_welcome *welcome)
{
    struct world *w = arg;
    CHECK_INT(welcome->epoch, w->epoch);
    w->welcomes++;
}

static void on_lost(void *arg)
{
    ((struct world *)arg)->losses++;
}

static int set_up(void **state_)
{
    static struct world world;
    world = (struct world){ .context = zmq_ctx_new(), .heartbeat_ms = 100 };
    struct session_options options = {
        .zmq = world.context,
        .endpoints = "ipc://session_test.ipc, ipc://session_test2.ipc",
        .hello = { .role = SLICE("client") },
        .requests_max = 4,
        .events = { .welcomed = on_welcomed, .lost = on_lost },
        .arg = &world,
    };
    envelope_init(&world.in);
    bind_broker(&world, endpoint);
    world.session = session_new(&options);
    *state_ = &world;
    return world.session == NULL;
}

static int tear_down(void **state_)
{
    struct world *w = *state_;
    session_destroy(&w->session);
    envelope_clear(&w->in);
    zmq_close(w->broker);
    zmq_ctx_term(w->context);
    return 0;
}

static void come_up(struct world *w)
{
    int before = w->welcomes;
    CHECK(broker_hears(w, VERB_HELLO));
    CHECK_INT(w->in.header.epoch, 0);
    broker_welcomes(w);
    for (int i = 0; i < 2000 && w->welcomes == before; i++)
        turn(w);
    CHECK_INT(w->welcomes, before + 1);
}

static int ask_verb(struct world *w, uint32_t verb, int64_t timeout_ms)
{
    struct request request = { .verb = verb, .count = 1, .timeout_ms = timeout_ms };
    return session_request(w->session, &request, NULL, on_answer, w);
}

static int ask(struct world *w, bool once, int64_t timeout_ms)
{
    struct request request = {
        .verb = VERB_GET, .count = 1, .once = once, .timeout_ms = timeout_ms
    };
    return session_request(w->session, &request, NULL, on_answer, w);
}

/* Whether the broker hears so many of this verb and, in a while, no more; the last one is the one
 * to be answered. */
static void hears(struct world *w, uint32_t verb, int expected)
{
    struct envelope in;
    int count = 0;
    envelope_init(&in);
    for (int i = 0; i < 50 || (i < 5000 && count < expected); i++) {
        turn(w);
        while (envelope_receive(&in, w->broker, true) == 0) {
            if (in.header.verb != verb)
                continue;
            zmq_msg_move(&w->in.peer, &in.peer);
            w->in.header.request = in.header.request;
            count++;
        }
    }
    envelope_clear(&in);
    CHECK_INT(count, expected);
}

static void until_answers(struct world *w, int count)
{
    for (int i = 0; i < 5000 && w->answers < count; i++)
        turn(w);
    CHECK_INT(w->answers, count);
}

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

TEST(what_is_unanswered_is_sent_again_to_the_next_broker)
{
    struct world *w = *state_;
    come_up(w);
    CHECK_INT(ask(w, false, 0), 0);
    CHECK(broker_hears(w, VERB_GET));
    uint64_t id = w->in.header.request;
    zmq_close(w->broker);
    bind_broker(w, other);
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
    bind_broker(w, other);
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
    bind_broker(w, other);
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
    bind_broker(w, other);
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
    bind_broker(w, other);
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
    bind_broker(w, other);
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
    bind_broker(w, other);
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
#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f##_holds, set_up, tear_down)
        IN_WORLD(a_request_made_before_the_welcome_is_sent_after_it),
        IN_WORLD(one_request_more_than_the_bound_is_busy),
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
        IN_WORLD(requests_beyond_the_window_wait_here_in_order),
        IN_WORLD(what_timed_out_here_still_counts_for_the_window),
        IN_WORLD(who_only_waits_needs_no_window_and_a_new_broker_has_a_new_one),
        IN_WORLD(a_silent_broker_is_left),
        IN_WORLD(a_request_whose_time_is_over_is_answered_here_and_only_once),
        IN_WORLD(a_body_that_is_no_msgpack_is_an_answer_of_its_own),
        IN_WORLD(a_ping_of_the_broker_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
