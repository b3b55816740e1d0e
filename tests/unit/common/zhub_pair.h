#pragma once
/* A loop, a hub, and pairs of sockets of which one end is in the hub. */
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
    bool drain_loses;    /* the first drain lets the connection go and takes its edge */
};

static uv_loop_t *loop;
static int pairs_open;
static zhub_t *hub;
static char telling; /* tests that are given this say what they do with our sockets */
static bool told;

static inline void peer_send(struct pair *pair)
{
    CHECK_INT(zmq_send(pair->peers, "m", 1, 0), 1);
}

/* Any call on a socket takes what its descriptor would have told. */
static inline void our_send(struct pair *pair)
{
    CHECK_INT(zmq_send(pair->ours, "x", 1, ZMQ_DONTWAIT), 1);
    if (told)
        zsource_used(pair->source);
}

static inline void swallow(struct pair *pair)
{
    zmq_poll(NULL, 0, 20); /* ipc: let the message come in first */
    our_send(pair);
}

/* The peer goes away, and a send that goes nowhere takes the edge of that. */
static inline void lose_peer(struct pair *pair)
{
    CHECK_INT(zmq_close(pair->peers), 0);
    pair->peers = NULL;
    zmq_poll(NULL, 0, 20);
    CHECK_INT(zmq_send(pair->ours, "x", 1, ZMQ_DONTWAIT), -1);
    if (told)
        zsource_used(pair->source);
}

static inline void end_pair(struct pair *pair)
{
    zsource_destroy(&pair->source);
    (void)zmq_close(pair->ours);
    pair->ours = NULL;
}

static inline bool on_read(void *arg)
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
        our_send(pair);
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

static inline void on_drained(void *arg)
{
    struct pair *pair = arg;
    pair->drains++;
    if (pair->drain_swallows && pair->drains == 1) {
        peer_send(pair);
        swallow(pair);
    }
    if (pair->drain_loses && pair->drains == 1)
        lose_peer(pair);
    if (pair->ends_in_drain)
        end_pair(pair);
}

static inline void *open_socket(void)
{
    int none = 0; /* no linger, no high water */
    void *socket = zmq_socket(context, ZMQ_PAIR);
    CHECK_INT(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none), 0);
    CHECK_INT(zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none), 0);
    CHECK_INT(zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none), 0);
    return socket;
}

static inline void open_pair(struct pair *pair, const char *transport)
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
    if (told)
        zsource_told(pair->source);
}

static inline void close_pair(struct pair *pair)
{
    pairs_open--;
    zsource_destroy(&pair->source);
    if (pair->ours)
        CHECK_INT(zmq_close(pair->ours), 0);
    if (pair->peers)
        CHECK_INT(zmq_close(pair->peers), 0);
}

static inline int begin(void **state)
{
    told = *state == &telling;
    context = zmq_ctx_new();
    loop = calloc(1, sizeof *loop);
    if (!context || !loop || uv_loop_init(loop))
        return -1;
    pairs_open = 0;
    hub = zhub_new(loop);
    return hub ? 0 : -1;
}

/* A test that failed half way leaves its sockets open, and waiting for those would hide why. */
static inline int finish(void **state)
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

static inline void on_watchdog(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Runs until the pair has read as much, or too long. */
static inline void run_until(struct pair *pair, int reads)
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

#define HOLDS_HUB(function)                                           \
    cmocka_unit_test_setup_teardown(function##_holds, begin, finish), \
        cmocka_unit_test_prestate_setup_teardown(function##_holds, begin, finish, &telling)
