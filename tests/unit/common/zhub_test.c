#include "common/zhub.h"

#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

enum { TURN_READS_MAX = 256, WATCHDOG_MS = 3000 };

static void *context;

/* Our socket in the hub, and the peer's, which the test holds. */
struct pair {
    void *ours;
    void *peers;
    zsource_t *source;
    int reads;
    int drains;
    int until;    /* as many reads leave the loop; before, nothing but the hub keeps it awake */
    int refill;   /* the peer sends so many more, one a read */
    bool answers; /* read sends to the peer, which takes the edge of what came meanwhile */
    struct pair *other; /* read sends to it, and then from it */
    bool ends_in_read;  /* and closes its socket at once */
    bool ends_in_drain;
    zhub_t **ends_hub;
    bool drain_swallows; /* the first drain lets a message come in and takes its edge */
};

static uv_loop_t *loop;
static int pairs_open;
static zhub_t *hub;

static void peer_send(struct pair *pair)
{
    CHECK_INT(zmq_send(pair->peers, "m", 1, 0), 1);
}

/* Any call on a socket takes what its descriptor would have told. */
static void swallow(struct pair *pair)
{
    zmq_poll(NULL, 0, 20); /* ipc: let the message come in first */
    CHECK_INT(zmq_send(pair->ours, "x", 1, ZMQ_DONTWAIT), 1);
}

static void end_pair(struct pair *pair)
{
    zsource_destroy(&pair->source);
    (void)zmq_close(pair->ours);
    pair->ours = NULL;
}

static bool on_read(void *arg)
{
    struct pair *pair = arg;
    char byte = 0;
    if (zmq_recv(pair->ours, &byte, 1, ZMQ_DONTWAIT) < 0)
        return false;
    if (++pair->reads == pair->until)
        uv_stop(loop);
    if (pair->refill > 0) {
        pair->refill--;
        peer_send(pair);
    }
    if (pair->answers)
        (void)zmq_send(pair->ours, "a", 1, ZMQ_DONTWAIT);
    if (pair->other) {
        peer_send(pair->other);
        swallow(pair->other);
    }
    if (pair->ends_hub)
        zhub_destroy(pair->ends_hub);
    if (pair->ends_in_read)
        end_pair(pair);
    return true;
}

static void on_drained(void *arg)
{
    struct pair *pair = arg;
    pair->drains++;
    if (pair->drain_swallows && pair->drains == 1) {
        peer_send(pair);
        swallow(pair);
    }
    if (pair->ends_in_drain)
        end_pair(pair);
}

static void *open_socket(void)
{
    int none = 0; /* no linger, no high water */
    void *socket = zmq_socket(context, ZMQ_PAIR);
    CHECK_INT(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none), 0);
    CHECK_INT(zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none), 0);
    CHECK_INT(zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none), 0);
    return socket;
}

static void open_pair(struct pair *pair, const char *transport)
{
    /* A name is used once: ipc files go some time after their sockets. */
    static int serial;
    char endpoint[32];
    char byte = 0;
    (void)snprintf(endpoint, sizeof endpoint, "%s://%d", transport, serial++);
    pairs_open++;
    pair->ours = open_socket();
    pair->peers = open_socket();
    CHECK_INT(zmq_bind(pair->ours, endpoint), 0);
    CHECK_INT(zmq_connect(pair->peers, endpoint), 0);
    CHECK_INT(zmq_send(pair->peers, "c", 1, 0), 1); /* connected when it has come */
    CHECK_INT(zmq_recv(pair->ours, &byte, 1, 0), 1);
    pair->source = zhub_add(hub, pair->ours, on_read, on_drained, pair);
    CHECK(pair->source);
}

static void close_pair(struct pair *pair)
{
    pairs_open--;
    zsource_destroy(&pair->source);
    if (pair->ours)
        CHECK_INT(zmq_close(pair->ours), 0);
    CHECK_INT(zmq_close(pair->peers), 0);
}

static int begin(void **state)
{
    (void)state;
    context = zmq_ctx_new();
    loop = calloc(1, sizeof *loop);
    if (!context || !loop || uv_loop_init(loop))
        return -1;
    pairs_open = 0;
    hub = zhub_new(loop);
    return hub ? 0 : -1;
}

/* A test that failed half way leaves its sockets open, and waiting for those would hide why. */
static int finish(void **state)
{
    (void)state;
    if (pairs_open)
        return -1;
    zhub_destroy(&hub);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    int r = uv_loop_close(loop) | zmq_ctx_term(context);
    free(loop);
    return r;
}

static void on_watchdog(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Runs until the pair has read as much, or too long. */
static void run_until(struct pair *pair, int reads)
{
    pair->until = reads;
    bool late = false;
    uv_timer_t watchdog;
    (void)uv_timer_init(loop, &watchdog);
    watchdog.data = &late;
    (void)uv_timer_start(&watchdog, on_watchdog, WATCHDOG_MS, 0);
    while (pair->reads < reads && !late)
        (void)uv_run(loop, UV_RUN_ONCE);
    CHECK_INT(pair->reads, reads);
    uv_close((uv_handle_t *)&watchdog, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

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
        int modest_before = modest.reads;
        peer_send(&modest);
        (void)uv_run(loop, UV_RUN_NOWAIT);
        CHECK(greedy.reads > before);
        CHECK(greedy.reads - before <= TURN_READS_MAX);
        CHECK_INT(modest.reads, modest_before + 1);
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
    scratch_enter("zhub_test.d");
    const struct CMUnitTest tests[] = {
#define HOLDS_HUB(function) cmocka_unit_test_setup_teardown(function##_holds, begin, finish)
        HOLDS_HUB(what_comes_is_read_and_drained_once_a_turn),
        HOLDS_HUB(an_edge_swallowed_in_a_timer_is_not_lost),
        HOLDS_HUB(an_edge_swallowed_in_another_descriptors_callback_is_not_lost),
        HOLDS_HUB(an_edge_swallowed_in_another_sources_handler_is_not_lost),
        HOLDS_HUB(an_edge_swallowed_in_drained_is_not_lost),
        HOLDS_HUB(an_answer_in_the_handler_does_not_lose_the_next_message),
        HOLDS_HUB(a_socket_that_never_ends_starves_neither_its_neighbour_nor_timers),
        HOLDS_HUB(the_bound_leaves_no_message_behind),
        HOLDS_HUB(a_source_may_end_in_its_own_handlers),
        HOLDS_HUB(a_hub_may_end_in_a_handler),
        HOLDS_HUB(what_is_no_socket_is_refused),
    };
    return cmocka_run_group_tests_name("zhub", tests, NULL, NULL);
}
