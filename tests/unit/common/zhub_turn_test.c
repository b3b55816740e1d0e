/* What one turn of the hub may take, and what may end in it. */
#include <unistd.h>

#include "tests/unit/common/zhub_pair.h"

static void on_tick(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

TEST(a_socket_that_never_ends_starves_neither_its_neighbour_nor_timers)
{
    UNUSED;
    struct pair greedy = { .refill = 1 << 30 };
    struct pair modest = { .reads = 0 };
    int ticks = 0;
    uv_timer_t timer;
    open_pair(&modest, "inproc");
    open_pair(&greedy, "inproc");
    (void)uv_timer_init(loop, &timer);
    timer.data = &ticks;
    (void)uv_timer_start(&timer, on_tick, 1, 1);
    peer_send(&greedy);
    for (int turn = 0; turn < 100; turn++) {
        int before = greedy.reads;
        peer_send(&modest);
        (void)uv_run(loop, UV_RUN_NOWAIT);
        CHECK(greedy.reads > before);
        CHECK(greedy.reads - before <= TURN_READS_MAX);
        CHECK(modest.reads >= turn + !told); /* the loop asks descriptors after the hub */
        if (turn % 10 == 0)
            (void)usleep(2000);
    }
    CHECK(ticks >= 9);
    CHECK_INT(greedy.drains, 100);
    greedy.refill = 100; /* nothing wakes the loop now but the hub itself */
    uv_close((uv_handle_t *)&timer, NULL);
    run_until(&greedy, greedy.reads + 101);
    close_pair(&greedy);
    close_pair(&modest);
}

TEST(the_bound_leaves_no_message_behind)
{
    UNUSED;
    struct pair pair = { .reads = 0 };
    open_pair(&pair, "inproc");
    for (int n = 0; n < 2000; n++)
        peer_send(&pair);
    run_until(&pair, 2000);
    CHECK(pair.drains >= 2000 / TURN_READS_MAX);
    close_pair(&pair);
}

TEST(a_source_may_end_in_its_own_handlers)
{
    UNUSED;
    struct pair neighbour = { .reads = 0 };
    struct pair reader = { .ends_in_read = true };
    struct pair drainer = { .ends_in_drain = true };
    open_pair(&reader, "inproc");
    open_pair(&neighbour, "inproc");
    open_pair(&drainer, "inproc");
    for (int n = 0; n < 3; n++) {
        peer_send(&reader);
        peer_send(&drainer);
        peer_send(&neighbour);
    }
    run_until(&neighbour, 3);
    CHECK_INT(reader.reads, 1);
    CHECK_INT(reader.drains, 0);
    CHECK_INT(drainer.reads, 3);
    CHECK_INT(drainer.drains, 1);
    close_pair(&reader);
    close_pair(&drainer);
    peer_send(&neighbour);
    run_until(&neighbour, 4);
    close_pair(&neighbour);
}

TEST(a_hub_may_end_in_a_handler)
{
    UNUSED;
    struct pair first = { .ends_hub = &hub };
    struct pair second = { .ends_hub = &hub };
    open_pair(&first, "inproc");
    open_pair(&second, "inproc");
    for (int n = 0; n < 3; n++) {
        peer_send(&first);
        peer_send(&second);
    }
    (void)uv_run(loop, UV_RUN_NOWAIT);
    (void)uv_run(loop, UV_RUN_NOWAIT);
    CHECK_INT(first.reads + second.reads, 1);
    CHECK(!hub);
    first.source = second.source = NULL; /* the hub ended them */
    close_pair(&first);
    close_pair(&second);
}

TEST(what_is_no_socket_is_refused)
{
    UNUSED;
    struct pair pair = { .reads = 0 };
    open_pair(&pair, "inproc");
    CHECK(!zhub_add(hub, &pair, on_read, NULL, &pair));
    CHECK(!zhub_add(hub, pair.ours, on_read, NULL, &pair)); /* has a source already */
    close_pair(&pair);
}

int main(void)
{
    scratch_enter("zhub_turn_test.d.d");
    const struct CMUnitTest tests[] = {
        HOLDS_HUB(a_socket_that_never_ends_starves_neither_its_neighbour_nor_timers),
        HOLDS_HUB(the_bound_leaves_no_message_behind),
        HOLDS_HUB(a_source_may_end_in_its_own_handlers),
        HOLDS_HUB(a_hub_may_end_in_a_handler),
        HOLDS_HUB(what_is_no_socket_is_refused),
    };
    return cmocka_run_group_tests_name("zhub_turn", tests, NULL, NULL);
}
