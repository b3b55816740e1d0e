#include "proto/json.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/schema.h"
#include "tests/unit/test.h"

#define PACKED(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

/* What packed bytes read as, on one line. */
static void check_reads(struct slice packed, const char *should)
{
    json_t *value = NULL;
    CHECK_INT(json_from_packed(packed, &value), 0);
    scoped_text char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    CHECK_TEXT(text, should);
}

TEST(every_kind_of_value_reads)
{
    UNUSED;
    check_reads(PACKED("\xc0"), "null");
    check_reads((struct slice){ 0 }, "null");
    check_reads(PACKED("\xc3"), "true");
    check_reads(PACKED("\x07"), "7");
    check_reads(PACKED("\xff"), "-1");
    check_reads(PACKED("\xcb\x3f\xf8\0\0\0\0\0\0"), "1.5");
    check_reads(PACKED("\xa2hi"), "\"hi\"");
    check_reads(PACKED("\x90"), "[]");
    check_reads(PACKED("\x80"), "{}");
    check_reads(PACKED("\x82\xa1"
                       "a\x92\x01\x81\xa1"
                       "b\x02\xa1"
                       "c\x03"),
                "{\"a\":[1,{\"b\":2}],\"c\":3}");
}

TEST(what_json_cannot_say_becomes_text_or_null)
{
    UNUSED;
    check_reads(PACKED("\xc4\x03\x00\xab\xff"), "\"00abff\"");
    check_reads(PACKED("\xd4\x05\x7f"), "\"057f\"");
    check_reads(PACKED("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "\"18446744073709551615\"");
    check_reads(PACKED("\xd3\x80\0\0\0\0\0\0\0"), "-9223372036854775808");
    check_reads(PACKED("\xcb\x7f\xf8\0\0\0\0\0\0"), "null");
    check_reads(PACKED("\x81\x07\xa1x"), "{\"7\":\"x\"}");
}

TEST(foreign_bytes_are_refused)
{
    UNUSED;
    json_t *value = NULL;
    CHECK_INT(json_from_packed(PACKED("\xdd\x0f\xff\xff\xff"), &value), STATUS_MALFORMED);
    CHECK_INT(json_from_packed(PACKED("\x01\x02"), &value), STATUS_MALFORMED);
    CHECK_INT(json_from_packed(PACKED("\xa1\xff"), &value), STATUS_MALFORMED);
    CHECK_INT(json_from_packed(PACKED("\x81\xc0\x01"), &value), STATUS_MALFORMED);
    assert_null(value);
}

/* Lists within one another. */
static void nest(char *text, int depth)
{
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[2 * depth] = '\0';
}

TEST(depth_is_bounded_both_ways)
{
    UNUSED;
    for (int depth = 1; depth <= WIRE_DEPTH_MAX + 1; depth++) {
        char text[2 * (WIRE_DEPTH_MAX + 1) + 1];
        nest(text, depth);
        json_t *value = json_loads(text, 0, NULL);
        json_t *again = NULL;
        msgpack_sbuffer packed;
        msgpack_packer pk;
        msgpack_sbuffer_init(&packed);
        msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
        int should = depth <= WIRE_DEPTH_MAX ? 0 : STATUS_TOO_LARGE;
        CHECK_INT(json_pack_value(value, &pk), should);
        if (should == 0) {
            CHECK_INT(json_from_packed(slice_make(packed.data, packed.size), &again), 0);
            CHECK(json_equal(value, again));
        }
        json_decref(again);
        json_decref(value);
        msgpack_sbuffer_destroy(&packed);
    }
}

TEST(what_is_packed_reads_the_same)
{
    UNUSED;
    static const char text[] = "{\"a\":[],\"b\":{},\"c\":[1,-5,2.5,true,false,null,\"\\u0000x\"],"
                               "\"d\":{\"e\":{\"f\":[[\"g\"]]}},\"h\":9223372036854775807}";
    json_t *value = json_loads(text, JSON_ALLOW_NUL, NULL);
    json_t *again = NULL;
    msgpack_sbuffer packed;
    msgpack_packer pk;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    assert_non_null(value);
    CHECK_INT(json_pack_value(value, &pk), 0);
    CHECK_INT(json_from_packed(slice_make(packed.data, packed.size), &again), 0);
    CHECK(json_equal(value, again));
    json_decref(again);
    json_decref(value);
    msgpack_sbuffer_destroy(&packed);
}

TEST(a_pairs_value_is_json_where_it_reads_so)
{
    UNUSED;
    static const struct {
        const char *pair;
        bool text_only;
        const char *should;
    } rows[] = {
        { "k=5", false, "{\"k\":5}" },
        { "k=5", true, "{\"k\":\"5\"}" },
        { "k=-1.5", false, "{\"k\":-1.5}" },
        { "k=true", false, "{\"k\":true}" },
        { "k=null", false, "{\"k\":null}" },
        { "k=null", true, "{\"k\":\"null\"}" },
        { "k=[1,2]", false, "{\"k\":[1,2]}" },
        { "k={\"a\":1}", false, "{\"k\":{\"a\":1}}" },
        { "k=\"quoted\"", false, "{\"k\":\"\\\"quoted\\\"\"}" },
        { "k=talk.mp4", false, "{\"k\":\"talk.mp4\"}" },
        { "k=", false, "{\"k\":\"\"}" },
        { "k=a=b", false, "{\"k\":\"a=b\"}" },
        { "k=[1,", false, "{\"k\":\"[1,\"}" },
        { "k=5 apples", false, "{\"k\":\"5 apples\"}" },
        { "p.q=1", false, "{\"p.q\":1}" },
        { "k=99999999999999999999", false, "{\"k\":\"99999999999999999999\"}" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char error[JSON_ERROR] = "";
        json_t *object = json_object();
        CHECK_INT(json_put_pair(object, rows[i].pair, rows[i].text_only, error), 0);
        scoped_text char *text = json_dumps(object, JSON_COMPACT);
        json_decref(object);
        CHECK_TEXT(text, rows[i].should);
    }
}

TEST(a_pair_that_is_none_is_refused)
{
    UNUSED;
    static const char *const pairs[] = { "word", "=5", "", "k=\xff\xfe", "\xff=1" };
    json_t *object = json_object();
    char error[JSON_ERROR];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        CHECK_INT(json_put_pair(object, pairs[i], false, error), STATUS_INVALID);
    CHECK_INT(json_put_pair(object, "k=1", false, error), 0);
    CHECK_INT(json_put_pair(object, "k=2", false, error), STATUS_INVALID);
    CHECK_TEXT(error, "k is given twice");
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(every_kind_of_value_reads),      HOLDS(what_json_cannot_say_becomes_text_or_null),
        HOLDS(foreign_bytes_are_refused),      HOLDS(depth_is_bounded_both_ways),
        HOLDS(what_is_packed_reads_the_same),  HOLDS(a_pairs_value_is_json_where_it_reads_so),
        HOLDS(a_pair_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
