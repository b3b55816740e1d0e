#include "tests/unit/test.h"

#include "common/status.h"
#include "proto/envelope.h"

#include <errno.h>

TEST(a_header_comes_back_as_it_went)
{
    UNUSED;
    struct header in = { .verb = VERB_SUBMIT,
                         .request = UINT64_MAX,
                         .epoch = 70000,
                         .status = STATUS_BUSY,
                         .service = SLICE("abcdefghijklmnopqrstuvwxyz_01234"),
                         .priority = PRIORITY_LOW,
                         .count = 256,
                         .trace =
                             SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") };
    struct header out;
    uint8_t bytes[WIRE_HEADER_MAX];
    size_t size;
    CHECK(header_encode(&in, bytes, &size));
    CHECK_INT(header_decode(&out, slice_make(bytes, size)), 0);
    CHECK_INT(out.verb, in.verb);
    CHECK(out.request == in.request);
    CHECK_INT(out.epoch, in.epoch);
    CHECK_INT(out.status, in.status);
    CHECK(slice_equal(out.service, in.service));
    CHECK_INT(out.priority, in.priority);
    CHECK_INT(out.count, in.count);
    CHECK(slice_equal(out.trace, in.trace));
}

TEST(a_header_is_exactly_its_ten_fields)
{
    UNUSED;
    struct header in = { .verb = VERB_PING };
    struct header out;
    uint8_t bytes[WIRE_HEADER_MAX + 1];
    size_t size;
    CHECK(header_encode(&in, bytes, &size));
    CHECK_INT(header_decode(&out, slice_make(bytes, size)), 0);
    CHECK_INT(header_decode(&out, slice_make(bytes, size - 1)), STATUS_MALFORMED);
    bytes[size] = 0xc0;
    CHECK_INT(header_decode(&out, slice_make(bytes, size + 1)), STATUS_MALFORMED);
    bytes[0] = 0x99;
    CHECK_INT(header_decode(&out, slice_make(bytes, size)), STATUS_MALFORMED);
    bytes[0] = 0x9a;
    bytes[2] = 0x46; /* another magic */
    CHECK_INT(header_decode(&out, slice_make(bytes, size)), STATUS_MALFORMED);
}

TEST(a_service_has_only_its_letters)
{
    UNUSED;
    struct header in = { .verb = VERB_SUBMIT, .request = 7, .service = SLICE("a:b") };
    struct header out = { 0 };
    uint8_t bytes[WIRE_HEADER_MAX];
    size_t size;
    CHECK(header_encode(&in, bytes, &size));
    CHECK_INT(header_decode(&out, slice_make(bytes, size)), STATUS_MALFORMED);
    CHECK_INT(out.verb, VERB_SUBMIT); /* whom to refuse is known */
    CHECK_INT(out.request, 7);
    CHECK_INT(out.service.size, 0);
    in.service = SLICE("abcdefghijklmnopqrstuvwxyz_012345");
    CHECK(!header_encode(&in, bytes, &size));
}

struct pair {
    void *context, *router, *dealer;
};

static int open_pair(void **state_)
{
    static struct pair pair;
    pair.context = zmq_ctx_new();
    pair.router = zmq_socket(pair.context, ZMQ_ROUTER);
    pair.dealer = zmq_socket(pair.context, ZMQ_DEALER);
    int mandatory = 1;
    zmq_setsockopt(pair.router, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    *state_ = &pair;
    return zmq_bind(pair.router, "inproc://pair") || zmq_connect(pair.dealer, "inproc://pair");
}

static int close_pair(void **state_)
{
    struct pair *pair = *state_;
    zmq_close(pair->router);
    zmq_close(pair->dealer);
    zmq_ctx_term(pair->context);
    return 0;
}

TEST(a_message_is_received_with_its_peer_and_body)
{
    struct pair *pair = *state_;
    struct envelope in;
    struct header header = { .verb = VERB_GET, .request = 7, .count = 1 };
    zmq_msg_t body;
    envelope_init(&in);
    CHECK_INT(envelope_receive(&in, pair->router, true), -EAGAIN);
    zmq_msg_init_size(&body, 3);
    memcpy(zmq_msg_data(&body), "abc", 3);
    CHECK_INT(envelope_send(pair->dealer, slice_make(NULL, 0), &header, &body), 0);
    CHECK_INT(zmq_msg_size(&body), 0);
    CHECK_INT(envelope_receive(&in, pair->router, true), 0);
    CHECK_INT(in.header.request, 7);
    CHECK_SLICE(frame_slice(&in.body), "abc");
    /* and back, without a body */
    header.verb = VERB_ANSWER;
    CHECK_INT(envelope_send(pair->router, frame_slice(&in.peer), &header, NULL), 0);
    CHECK_INT(envelope_receive(&in, pair->dealer, false), 0);
    CHECK_INT(in.header.verb, VERB_ANSWER);
    CHECK_INT(zmq_msg_size(&in.body), 0);
    envelope_clear(&in);
    zmq_msg_close(&body);
}

TEST(a_peer_that_is_none_is_unreachable_and_keeps_the_body)
{
    struct pair *pair = *state_;
    struct header header = { .verb = VERB_ANSWER };
    zmq_msg_t body;
    zmq_msg_init_size(&body, 3);
    CHECK_INT(envelope_send(pair->router, SLICE("nobody"), &header, &body), -EHOSTUNREACH);
    CHECK_INT(zmq_msg_size(&body), 3);
    zmq_msg_close(&body);
}

TEST(wrong_counts_of_frames_are_read_away_whole)
{
    struct pair *pair = *state_;
    struct envelope in;
    struct header header = { .verb = VERB_PING };
    envelope_init(&in);
    zmq_send(pair->dealer, "junk", 4, 0);
    zmq_send(pair->dealer, "a", 1, ZMQ_SNDMORE);
    zmq_send(pair->dealer, "b", 1, ZMQ_SNDMORE);
    zmq_send(pair->dealer, "c", 1, ZMQ_SNDMORE);
    zmq_send(pair->dealer, "d", 1, 0);
    CHECK_INT(envelope_send(pair->dealer, slice_make(NULL, 0), &header, NULL), 0);
    CHECK_INT(envelope_receive(&in, pair->router, true), STATUS_MALFORMED);
    CHECK(zmq_msg_size(&in.peer) > 0);
    CHECK_INT(envelope_receive(&in, pair->router, true), STATUS_MALFORMED);
    CHECK_INT(envelope_receive(&in, pair->router, true), 0);
    CHECK_INT(in.header.verb, VERB_PING);
    envelope_clear(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_header_comes_back_as_it_went),
        HOLDS(a_header_is_exactly_its_ten_fields),
        HOLDS(a_service_has_only_its_letters),
        HOLDS(a_message_is_received_with_its_peer_and_body),
        HOLDS(a_peer_that_is_none_is_unreachable_and_keeps_the_body),
        HOLDS(wrong_counts_of_frames_are_read_away_whole),
    };
    return cmocka_run_group_tests(tests, open_pair, close_pair);
}
