#include "common/zhub.h"

#include <unistd.h>

#include "tests/unit/common/zhub_pair.h"

static const char *const transports[] = { "inproc", "ipc" };

TEST(what_comes_is_read_and_drained_once_a_turn)
{
    UNUSED;
    for (int i = 0; i < 2; i++) {
        struct pair pair = { .reads = 0 };
        open_pair(&pair, transports[i]);
        (void)uv_run(loop, UV_RUN_NOWAIT);
        CHECK_INT(pair.reads, 0);
        CHECK_INT(pair.drains, 0);
        for (int n = 0; n < 10; n++)
            peer_send(&pair);
        zmq_poll(NULL, 0, 50);
        run_until(&pair, 10);
        CHECK(pair.drains >= 1 && (i == 1 || pair.drains == 1));
        close_pair(&pair);
    }
}

static void on_timer_swallow(uv_timer_t *timer)
{
    struct pair *pair = timer->data;
    peer_send(pair);
    swallow(pair);
}

TEST(an_edge_swallowed_in_a_timer_is_not_lost)
{
    UNUSED;
    for (int i = 0; i < 2; i++) {
        struct pair pair = { .reads = 0 };
        open_pair(&pair, transports[i]);
        uv_timer_t timer;
        (void)uv_timer_init(loop, &timer);
        timer.data = &pair;
        (void)uv_timer_start(&timer, on_timer_swallow, 20, 0);
        run_until(&pair, 1);
        uv_close((uv_handle_t *)&timer, NULL);
        close_pair(&pair);
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
}

static void on_pipe(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    (void)uv_poll_stop(poll);
    struct pair *pair = poll->data;
    peer_send(pair);
    swallow(pair);
}

TEST(an_edge_swallowed_in_another_descriptors_callback_is_not_lost)
{
    UNUSED;
    for (int i = 0; i < 2; i++) {
        struct pair pair = { .reads = 0 };
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        open_pair(&pair, transports[i]);
        uv_poll_t poll;
        CHECK_INT(uv_poll_init(loop, &poll, ends[0]), 0);
        poll.data = &pair;
        CHECK_INT(uv_poll_start(&poll, UV_READABLE, on_pipe), 0);
        CHECK_INT(write(ends[1], "x", 1), 1);
        run_until(&pair, 1);
        uv_close((uv_handle_t *)&poll, NULL);
        close_pair(&pair);
        (void)uv_run(loop, UV_RUN_NOWAIT);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

TEST(an_edge_swallowed_in_another_sources_handler_is_not_lost)
{
    UNUSED;
    for (int order = 0; order < 2; order++) { /* whichever of the two the hub looks at first */
        struct pair first = { .reads = 0 };
        struct pair second = { .reads = 0 };
        open_pair(order ? &second : &first, "inproc");
        open_pair(order ? &first : &second, "ipc");
        first.other = &second;
        peer_send(&first);
        run_until(&second, 1);
        CHECK_INT(first.reads, 1);
        close_pair(&first);
        close_pair(&second);
    }
}

TEST(an_edge_swallowed_in_drained_is_not_lost)
{
    UNUSED;
    for (int i = 0; i < 2; i++) {
        struct pair pair = { .drain_swallows = true };
        open_pair(&pair, transports[i]);
        peer_send(&pair);
        run_until(&pair, 2);
        close_pair(&pair);
    }
}

TEST(an_answer_in_the_handler_does_not_lose_the_next_message)
{
    UNUSED;
    struct pair pair = { .answers = true };
    open_pair(&pair, "ipc");
    for (int n = 0; n < 1000; n++)
        peer_send(&pair);
    run_until(&pair, 1000);
    close_pair(&pair);
}

static void on_timer_lose(uv_timer_t *timer)
{
    lose_peer(timer->data);
}

static void turn_often(void)
{
    for (int turn = 0; turn < 20; turn++) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
        zmq_poll(NULL, 0, 5);
    }
}

TEST(a_loss_whose_edge_was_swallowed_in_a_timer_is_drained)
{
    UNUSED;
    for (int i = 0; i < 2; i++) {
        struct pair pair = { .reads = 0 };
        open_pair(&pair, transports[i]);
        turn_often();
        CHECK_INT(pair.drains, 0);
        uv_timer_t timer;
        (void)uv_timer_init(loop, &timer);
        timer.data = &pair;
        (void)uv_timer_start(&timer, on_timer_lose, 20, 0);
        turn_often();
        CHECK(pair.drains >= 1);
        uv_close((uv_handle_t *)&timer, NULL);
        close_pair(&pair);
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
}

TEST(a_loss_whose_edge_was_swallowed_in_drained_is_drained)
{
    UNUSED;
    for (int i = 0; i < 2; i++) {
        struct pair pair = { .drain_loses = true };
        open_pair(&pair, transports[i]);
        peer_send(&pair);
        turn_often();
        CHECK_INT(pair.reads, 1);
        CHECK(pair.drains >= 2);
        close_pair(&pair);
    }
}

int main(void)
{
    scratch_enter("zhub_test.d.d");
    const struct CMUnitTest tests[] = {
        HOLDS_HUB(what_comes_is_read_and_drained_once_a_turn),
        HOLDS_HUB(an_edge_swallowed_in_a_timer_is_not_lost),
        HOLDS_HUB(an_edge_swallowed_in_another_descriptors_callback_is_not_lost),
        HOLDS_HUB(an_edge_swallowed_in_another_sources_handler_is_not_lost),
        HOLDS_HUB(an_edge_swallowed_in_drained_is_not_lost),
        HOLDS_HUB(an_answer_in_the_handler_does_not_lose_the_next_message),
        HOLDS_HUB(a_loss_whose_edge_was_swallowed_in_a_timer_is_drained),
        HOLDS_HUB(a_loss_whose_edge_was_swallowed_in_drained_is_drained),
    };
    return cmocka_run_group_tests_name("zhub", tests, NULL, NULL);
}
