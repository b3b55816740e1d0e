#include "tests/unit/test.h"

#include "common/status.h"
#include "proto/codec.h"
#include "proto/message.h"

#include <stdlib.h>

#define BYTES(...) \
    slice_make((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

TEST(one_whole_value_is_accepted)
{
    UNUSED;
    CHECK_INT(codec_check(BYTES(0xc0)), 0);
    CHECK_INT(codec_check(BYTES(0x80)), 0);
    CHECK_INT(codec_check(BYTES(0x81, 0xa1, 'a', 0x93, 1, 2, 3)), 0);
    CHECK_INT(codec_check(BYTES(0xd6, 1, 2, 3, 4, 5)), 0); /* fixext 4 */
    CHECK_INT(codec_check(BYTES(0xc7, 1, 9, 9)), 0);       /* ext 8 */
}

TEST(nothing_and_half_and_more_than_one_value_are_refused)
{
    UNUSED;
    CHECK_INT(codec_check(slice_make(NULL, 0)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xcd, 1)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xa5, 'a')), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0x92, 1)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(1, 2)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xc1)), STATUS_MALFORMED); /* never used */
}

TEST(a_count_larger_than_the_bytes_left_is_refused)
{
    UNUSED;
    CHECK_INT(codec_check(BYTES(0xdd, 0x0f, 0xff, 0xff, 0xff)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xdf, 0x01, 0x00, 0xca, 0xca, 0xca, 0xca)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xdb, 0xff, 0xff, 0xff, 0xff, 'a')), STATUS_MALFORMED);
    /* each level claims what is left: together more than there is */
    CHECK_INT(codec_check(BYTES(0x93, 0x93, 0x93, 0xc0, 0xc0, 0xc0, 0xc0)), STATUS_MALFORMED);
}

TEST(nesting_is_bounded)
{
    UNUSED;
    uint8_t deep[WIRE_DEPTH_MAX + 2];
    memset(deep, 0x91, sizeof deep);
    deep[WIRE_DEPTH_MAX] = 0xc0;
    CHECK_INT(codec_check(slice_make(deep, WIRE_DEPTH_MAX + 1)), 0);
    deep[WIRE_DEPTH_MAX] = 0x91;
    deep[WIRE_DEPTH_MAX + 1] = 0xc0;
    CHECK_INT(codec_check(slice_make(deep, WIRE_DEPTH_MAX + 2)), STATUS_MALFORMED);
}

TEST(depth_is_counted)
{
    UNUSED;
    CHECK_INT(codec_depth(BYTES(7)), 0);
    CHECK_INT(codec_depth(BYTES(0x90)), 1);
    CHECK_INT(codec_depth(BYTES(0x92, 0x91, 1, 0x81, 0xa1, 'a', 0x91, 2)), 3);
    CHECK_INT(codec_depth(BYTES(0x92, 0x91, 0x90, 1)), 3);
}

TEST(texts_are_utf8)
{
    UNUSED;
    CHECK_INT(codec_check(BYTES(0xa6, 0xe4, 0xb8, 0xad, 0xe6, 0x96, 0x87)), 0);
    CHECK_INT(codec_check(BYTES(0xa4, 0xf0, 0x9f, 0x98, 0x80)), 0);
    CHECK_INT(codec_check(BYTES(0xa1, 0x80)), STATUS_MALFORMED);
    CHECK_INT(codec_check(BYTES(0xa2, 0xc0, 0xaf)), STATUS_MALFORMED);       /* overlong */
    CHECK_INT(codec_check(BYTES(0xa3, 0xed, 0xa0, 0x80)), STATUS_MALFORMED); /* surrogate */
    CHECK_INT(codec_check(BYTES(0xa2, 0xe4, 0xb8)), STATUS_MALFORMED);       /* cut off */
    CHECK_INT(codec_check(BYTES(0xa4, 0xf5, 0x80, 0x80, 0x80)), STATUS_MALFORMED);
}

TEST(numbers_keep_their_value)
{
    UNUSED;
    uint64_t whole;
    double number;
    CHECK(codec_whole(BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), &whole));
    CHECK(whole == UINT64_MAX);
    CHECK(codec_whole(BYTES(0xd1, 0x01, 0x00), &whole)); /* signed lead, not negative */
    CHECK(whole == 256);
    CHECK(!codec_whole(BYTES(0xff), &whole));
    CHECK(codec_number(BYTES(0xd0, 0x80), &number));
    CHECK(number == -128.0);
    CHECK(codec_number(BYTES(0xca, 0x3f, 0x00, 0x00, 0x00), &number));
    CHECK(number == 0.5);
    CHECK(!codec_number(BYTES(0xa1, '1'), &number));
}

TEST(keys_are_found_by_name)
{
    UNUSED;
    struct slice map = BYTES(0x82, 0xa1, 'a', 0x91, 1, 0xa1, 'b', 0xc3);
    struct slice value;
    bool truth = false;
    CHECK(codec_find(map, "b", &value));
    CHECK(codec_bool(value, &truth) && truth);
    CHECK(!codec_find(map, "c", &value));
    CHECK(!codec_find(BYTES(0x91, 1), "a", &value));
}

static struct slice encode(const struct message_layout *layout, const void *m,
                           msgpack_sbuffer *buffer)
{
    msgpack_packer pk;
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(&pk, buffer, msgpack_sbuffer_write);
    message_encode(layout, m, &pk);
    return slice_make(buffer->data, buffer->size);
}

TEST(a_message_comes_back_as_it_went)
{
    UNUSED;
    struct m_task in = { .id = SLICE("t-1"),
                         .task = SLICE("system.echo"),
                         .token = SLICE("0123456789abcdef"),
                         .input = BYTES(0x81, 0xa1, 'v', 7),
                         .timeout_ms = 70000 };
    struct m_task out;
    msgpack_sbuffer buffer;
    struct slice bytes = encode(&m_task_layout, &in, &buffer);
    CHECK_INT(codec_check(bytes), 0);
    CHECK_INT(message_decode(&m_task_layout, bytes, &out, NULL), 0);
    CHECK_SLICE(out.id, "t-1");
    CHECK_SLICE(out.task, "system.echo");
    CHECK_INT(out.token.size, 16);
    CHECK(slice_equal(out.input, in.input));
    CHECK_INT(out.timeout_ms, 70000);
    CHECK_INT(out.owner.size, 0);
    msgpack_sbuffer_destroy(&buffer);
}

TEST(a_wrong_field_is_named)
{
    UNUSED;
    struct m_ref ref;
    const char *field = NULL;
    CHECK_INT(message_decode(&m_ref_layout, BYTES(0x80), &ref, &field), STATUS_INVALID);
    CHECK_TEXT(field, "id");
    CHECK_INT(message_decode(&m_ref_layout,
                             BYTES(0x82, 0xa2, 'i', 'd', 0xa1, 'x', 0xa4, 't', 'a', 's', 'k', 5),
                             &ref, &field),
              STATUS_INVALID);
    CHECK_TEXT(field, "task");
    CHECK_INT(message_decode(&m_ref_layout, BYTES(0x81, 1, 2), &ref, &field), STATUS_MALFORMED);
    CHECK_INT(message_decode(&m_ref_layout, BYTES(0x90), &ref, &field), STATUS_MALFORMED);
}

TEST(a_text_longer_than_its_bound_is_refused)
{
    UNUSED;
    char id[129];
    memset(id, 'x', sizeof id);
    struct m_ref in = { .id = { id, 128 } };
    struct m_ref out;
    const char *field = NULL;
    msgpack_sbuffer buffer;
    CHECK_INT(message_decode(&m_ref_layout, encode(&m_ref_layout, &in, &buffer), &out, &field), 0);
    msgpack_sbuffer_destroy(&buffer);
    in.id.size = 129;
    CHECK_INT(message_decode(&m_ref_layout, encode(&m_ref_layout, &in, &buffer), &out, &field),
              STATUS_INVALID);
    CHECK_TEXT(field, "id");
    msgpack_sbuffer_destroy(&buffer);
}

TEST(unknown_keys_and_nil_are_passed_over)
{
    UNUSED;
    struct m_ref ref;
    CHECK_INT(message_decode(&m_ref_layout,
                             BYTES(0x83, 0xa1, 'z', 0x91, 1, 0xa2, 'i', 'd', 0xa1, 'x', 0xa4, 't',
                                   'a', 's', 'k', 0xc0),
                             &ref, NULL),
              0);
    CHECK_SLICE(ref.id, "x");
    CHECK_INT(ref.task.size, 0);
}

TEST(messages_are_read_one_after_the_other)
{
    UNUSED;
    struct m_ref ref;
    struct reader r = reader_of(BYTES(0x81, 0xa2, 'i', 'd', 0xa1, 'x', /* one, */
                                      0x81, 0xa2, 'i', 'd', 0x91, 7,   /* one of a wrong type, */
                                      0x92, 1, 0x80,                   /* none, */
                                      0x81, 0xa2, 'i', 'd', 0xa1, 'y', 0x81));
    CHECK_INT(message_next(&m_ref_layout, &r, &ref, NULL), 0);
    CHECK(slice_is(ref.id, "x"));
    CHECK_INT(message_next(&m_ref_layout, &r, &ref, NULL), STATUS_INVALID);
    CHECK_INT(message_next(&m_ref_layout, &r, &ref, NULL), STATUS_MALFORMED);
    CHECK_INT(message_next(&m_ref_layout, &r, &ref, NULL), 0);
    CHECK(slice_is(ref.id, "y"));
    CHECK_INT(message_next(&m_ref_layout, &r, &ref, NULL), STATUS_MALFORMED); /* half a map */
    CHECK_INT(message_next(&m_ref_layout, &r, &ref, NULL), STATUS_MALFORMED); /* the end */
    CHECK(r.at == r.end);
}

TEST(every_row_has_a_text)
{
    UNUSED;
    CHECK_TEXT(verb_text(VERB_SUBMIT), "SUBMIT");
    CHECK_TEXT(verb_text(0), "?");
    for (int i = 0; i < STATE_END; i++)
        CHECK_INT(state_by_text(slice_of(state_text(i))), i);
    for (uint32_t i = 0; i < PRIORITY_END; i++)
        CHECK_INT(priority_by_text(slice_of(priority_text(i))), i);
    CHECK(state_terminal(STATE_FAILED) && !state_terminal(STATE_CANCELLING) && !state_terminal(-1));
    for (size_t i = 0; message_layouts[i]; i++)
        CHECK(message_layouts[i]->count <= 32); /* decode's and encode's sets are 32 bits */
}

/* Random bytes, and good messages with bytes changed: never a crash, never a read outside. */
TEST(junk_is_survived)
{
    UNUSED;
    srand(1);
    for (int round = 0; round < 200000; round++) {
        size_t size = (size_t)rand() % 40;
        uint8_t *bytes =
            malloc(size ? size : 1); /* exact, so that the sanitizer sees one too far */
        struct m_stage stage;
        struct slice value;
        CHECK(bytes != NULL);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(rand() % 3 ? rand() : 0x80 | rand());
        if (codec_check(slice_make(bytes, size)) == 0)
            (void)message_decode(&m_stage_layout, slice_make(bytes, size), &stage, NULL);
        (void)message_decode(&m_stage_layout, slice_make(bytes, size), &stage, NULL);
        (void)codec_find(slice_make(bytes, size), "a", &value);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(one_whole_value_is_accepted),
        HOLDS(nothing_and_half_and_more_than_one_value_are_refused),
        HOLDS(a_count_larger_than_the_bytes_left_is_refused),
        HOLDS(nesting_is_bounded),
        HOLDS(depth_is_counted),
        HOLDS(texts_are_utf8),
        HOLDS(numbers_keep_their_value),
        HOLDS(keys_are_found_by_name),
        HOLDS(a_message_comes_back_as_it_went),
        HOLDS(a_wrong_field_is_named),
        HOLDS(a_text_longer_than_its_bound_is_refused),
        HOLDS(unknown_keys_and_nil_are_passed_over),
        HOLDS(messages_are_read_one_after_the_other),
        HOLDS(every_row_has_a_text),
        HOLDS(junk_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
