#pragma once
/* A session, ticked by the test, on the same thread as the broker that is played by hand. */
#include "tests/unit/test.h"

#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/session.h"

#include <stdio.h>
#include <unistd.h>

/* A broker played by hand, on a socket that can be closed and bound again. */
struct world {
    void *context;
    char endpoint[32];
    char other[32];
    char endpoints[72]; /* both */
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

static inline void bind_broker(struct world *w, const char *at)
{
    int none = 0;
    w->broker = zmq_socket(w->context, ZMQ_ROUTER);
    zmq_setsockopt(w->broker, ZMQ_LINGER, &none, sizeof none);
    CHECK_INT(zmq_bind(w->broker, at), 0);
    w->epoch++;
}

static inline void turn(struct world *w)
{
    session_tick(w->session, clock_ms());
    while (session_read(w->session, clock_ms()))
        ;
    usleep(1000);
}

/* Runs the session until the broker has a message; PINGs are passed over. */
static inline bool broker_hears(struct world *w, uint32_t verb)
{
    for (int i = 0; i < 5000; i++) {
        turn(w);
        while (envelope_receive(&w->in, w->broker, true) == 0)
            if (w->in.header.verb == verb)
                return true;
    }
    return false;
}

static inline void broker_answers(struct world *w, uint32_t status)
{
    struct header header = { .verb = VERB_ANSWER,
                             .request = w->in.header.request,
                             .status = status };
    CHECK_INT(envelope_send(w->broker, frame_slice(&w->in.peer), &header, NULL), 0);
}

static inline void broker_welcomes(struct world *w)
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

static inline void on_answer(void *arg, const struct header *header, struct slice body)
{
    struct world *w = arg;
    (void)body;
    w->answers++;
    w->status = header->status;
}

static inline void on_welcomed(void *arg, const struct m_welcome *welcome)
{
    struct world *w = arg;
    CHECK_INT(welcome->epoch, w->epoch);
    w->welcomes++;
}

static inline void on_lost(void *arg)
{
    ((struct world *)arg)->losses++;
}

/* Several of these tests run at the same time, in one folder. */
static inline void name_endpoints(struct world *w)
{
    int pid = (int)getpid();
    (void)snprintf(w->endpoint, sizeof w->endpoint, "ipc://session_%d.ipc", pid);
    (void)snprintf(w->other, sizeof w->other, "ipc://session_%d_2.ipc", pid);
    (void)snprintf(w->endpoints, sizeof w->endpoints, "%s, %s", w->endpoint, w->other);
}

static inline int set_up(void **state_)
{
    static struct world world;
    world = (struct world){ .context = zmq_ctx_new(), .heartbeat_ms = 100 };
    name_endpoints(&world);
    struct session_options options = {
        .zmq = world.context,
        .endpoints = world.endpoints,
        .hello = { .role = SLICE("client") },
        .requests_max = 4,
        .events = { .welcomed = on_welcomed, .lost = on_lost },
        .arg = &world,
    };
    envelope_init(&world.in);
    bind_broker(&world, world.endpoint);
    world.session = session_new(&options);
    *state_ = &world;
    return world.session == NULL;
}

static inline int tear_down(void **state_)
{
    struct world *w = *state_;
    session_destroy(&w->session);
    envelope_clear(&w->in);
    zmq_close(w->broker);
    zmq_ctx_term(w->context);
    (void)unlink(w->endpoint + strlen("ipc://"));
    (void)unlink(w->other + strlen("ipc://"));
    return 0;
}

static inline void come_up(struct world *w)
{
    int before = w->welcomes;
    CHECK(broker_hears(w, VERB_HELLO));
    CHECK_INT(w->in.header.epoch, 0);
    broker_welcomes(w);
    for (int i = 0; i < 2000 && w->welcomes == before; i++)
        turn(w);
    CHECK_INT(w->welcomes, before + 1);
}

static inline int ask_verb(struct world *w, uint32_t verb, int64_t timeout_ms)
{
    struct request request = { .verb = verb, .count = 1, .timeout_ms = timeout_ms };
    return session_request(w->session, &request, NULL, on_answer, w);
}

static inline int ask(struct world *w, bool once, int64_t timeout_ms)
{
    struct request request = {
        .verb = VERB_GET, .count = 1, .once = once, .timeout_ms = timeout_ms
    };
    return session_request(w->session, &request, NULL, on_answer, w);
}

/* Whether the broker hears so many of this verb and, in a while, no more; the last one is the one
 * to be answered. */
static inline void hears(struct world *w, uint32_t verb, int expected)
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

static inline void until_answers(struct world *w, int count)
{
    for (int i = 0; i < 5000 && w->answers < count; i++)
        turn(w);
    CHECK_INT(w->answers, count);
}

#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f##_holds, set_up, tear_down)
