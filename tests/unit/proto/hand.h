#pragma once
/* A broker played by hand: a ROUTER that hears and says what a test wants. */
#include "tests/unit/test.h"

#include "common/clock.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "proto/parcel.h"

#include <unistd.h>

struct hand {
    void *context;
    void *socket;
    const char *endpoint;
    struct m_welcome welcome;
    struct envelope in; /* the last message */
    struct parcel out;  /* the body being written */
};

static inline void hand_open(struct hand *hand, const char *endpoint)
{
    int none = 0;
    hand->endpoint = endpoint;
    hand->welcome = (struct m_welcome){ 1, 100, 5000, 5000, 256, 1 << 20, 0, SLICE_INIT("hand") };
    hand->context = zmq_ctx_new();
    hand->socket = zmq_socket(hand->context, ZMQ_ROUTER);
    zmq_setsockopt(hand->socket, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_bind(hand->socket, endpoint), 0);
    envelope_init(&hand->in);
    hand->out = (struct parcel){ 0 };
}

static inline void hand_close(struct hand *hand)
{
    envelope_clear(&hand->in);
    parcel_clear(&hand->out);
    zmq_close(hand->socket);
    zmq_ctx_term(hand->context);
}

/* False: nothing came. */
static inline bool hand_hears(struct hand *hand)
{
    return envelope_receive(&hand->in, hand->socket, true) == 0;
}

static inline struct slice hand_body(struct hand *hand)
{
    return frame_slice(&hand->in.body);
}

/* Answers the last message with what was written to out: whole is an array, else one map; nothing
 * when out is not started. */
static inline void hand_answer(struct hand *hand, uint32_t status, bool whole)
{
    struct header header = { .verb = VERB_ANSWER,
                             .request = hand->in.header.request,
                             .epoch = hand->welcome.epoch,
                             .status = status,
                             .count = hand->out.count };
    zmq_msg_t body;
    zmq_msg_init(&body);
    if (hand->out.size > 0 && whole)
        (void)parcel_take(&hand->out, &body);
    else if (hand->out.size > 0)
        (void)parcel_take_bare(&hand->out, &body);
    (void)envelope_send(hand->socket, frame_slice(&hand->in.peer), &header, &body);
    zmq_msg_close(&body);
    hand->out.size = 0;
}

static inline void hand_write(struct hand *hand, const struct message_layout *layout, const void *m)
{
    if (hand->out.size == 0)
        parcel_start(&hand->out);
    msgpack_packer pk = parcel_packer(&hand->out);
    message_encode(layout, m, &pk);
    parcel_keep(&hand->out);
}

static inline void hand_welcomes(struct hand *hand)
{
    hand_write(hand, &m_welcome_layout, &hand->welcome);
    hand_answer(hand, 0, false);
}

static inline void hand_refuses(struct hand *hand, uint32_t status, uint32_t retry_after_ms)
{
    struct m_error error = { .message = SLICE("said by hand"),
                             .field = SLICE("input.x"),
                             .limit = 7,
                             .current = 8,
                             .retry_after_ms = retry_after_ms };
    hand_write(hand, &m_error_layout, &error);
    hand_answer(hand, status, false);
}

/* Item i of the last message's body, an array. */
static inline struct slice hand_item(struct hand *hand, uint32_t i)
{
    struct reader reader;
    struct slice item = { 0 };
    uint32_t count = 0;
    assert_int_equal(codec_check(hand_body(hand)), 0);
    assert_true(codec_array(hand_body(hand), &reader, &count) && i < count);
    for (uint32_t k = 0; k <= i; k++)
        assert_true(reader_value(&reader, &item));
    return item;
}
