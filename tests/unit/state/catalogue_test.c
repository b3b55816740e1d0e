#include "tests/unit/test.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/message.h"
#include "services/state/catalogue.h"

#include <math.h>

static struct slice taken(msgpack_sbuffer *buffer)
{
    return slice_make(buffer->data, buffer->size);
}

/* A declaration with one input of each type, and one that must be there. */
static struct slice declare(msgpack_sbuffer *buffer, const char *name)
{
    static const char *const types[] = { "text",   "path", "whole", "number",
                                         "switch", "list", "map",   "any" };
    msgpack_packer pk;
    msgpack_sbuffer_clear(buffer);
    msgpack_packer_init(&pk, buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 2);
    pack_text(&pk, "name");
    pack_text(&pk, name);
    pack_text(&pk, "inputs");
    msgpack_pack_array(&pk, 9);
    for (size_t i = 0; i < 8; i++) {
        const struct m_input input = { .name = slice_of(types[i]), .type = slice_of(types[i]) };
        message_encode(&m_input_layout, &input, &pk);
    }
    const struct m_input must = { .name = SLICE("must"), .type = SLICE("any"), .required = true };
    message_encode(&m_input_layout, &must, &pk);
    return taken(buffer);
}

static int setup(void **state)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    catalogue_t *catalogue = catalogue_new();
    *state = catalogue;
    int r = catalogue_put(catalogue, declare(&buffer, "a.b"));
    msgpack_sbuffer_destroy(&buffer);
    return r;
}

static int teardown(void **state)
{
    catalogue_t *catalogue = *state;
    catalogue_destroy(&catalogue);
    return 0;
}

/* {must: true, <key>: <what write packs>} */
static int check(catalogue_t *catalogue, const char *key, void (*write)(msgpack_packer *pk),
                 struct refusal *why)
{
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 2);
    pack_text(&pk, "must");
    msgpack_pack_true(&pk);
    pack_text(&pk, key);
    write(&pk);
    int r = catalogue_check(catalogue, SLICE("a.b"), taken(&buffer), why, NULL);
    msgpack_sbuffer_destroy(&buffer);
    return r;
}

#define WRITER(name, call)                       \
    static void write_##name(msgpack_packer *pk) \
    {                                            \
        call;                                    \
    }
WRITER(nil, msgpack_pack_nil(pk))
WRITER(text, pack_text(pk, "x"))
WRITER(empty, pack_text(pk, ""))
WRITER(nul, pack_slice(pk, slice_make("a\0b", 3)))
WRITER(bytes, pack_bin(pk, SLICE("x")))
WRITER(whole, msgpack_pack_int(pk, 5))
WRITER(negative, msgpack_pack_int(pk, -5))
WRITER(fraction, msgpack_pack_double(pk, 0.5))
WRITER(infinite, msgpack_pack_double(pk, HUGE_VAL))
WRITER(truth, msgpack_pack_false(pk))
WRITER(list, msgpack_pack_array(pk, 0))
WRITER(map, msgpack_pack_map(pk, 0))

TEST(inputs_fit_their_types)
{
    static const struct {
        void (*write)(msgpack_packer *pk);
        const char *fits; /* types that take it */
    } rows[] = {
        { write_nil, "text path whole number switch list map any " },
        { write_text, "text path any " },
        { write_empty, "text any " },
        { write_nul, "text any " },
        { write_bytes, "any " },
        { write_whole, "whole number any " },
        { write_negative, "whole number any " },
        { write_fraction, "number any " },
        { write_infinite, "any " },
        { write_truth, "switch any " },
        { write_list, "list any " },
        { write_map, "map any " },
    };
    static const char *const types[] = { "text",   "path", "whole", "number",
                                         "switch", "list", "map",   "any" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t k = 0; k < 8; k++) {
            struct refusal why = { 0 };
            char word[16], field[32];
            snprintf(word, sizeof word, "%s ", types[k]);
            snprintf(field, sizeof field, "input.%s", types[k]);
            const bool fits = strstr(rows[i].fits, word) != NULL;
            CHECK_INT(check(*state_, types[k], rows[i].write, &why), fits ? 0 : STATUS_INVALID);
            CHECK_TEXT(why.field, fits ? "" : field);
        }
    }
}

TEST(what_is_missing_or_unknown_is_named)
{
    struct refusal why = { 0 };
    CHECK_INT(check(*state_, "odd", write_text, &why), STATUS_INVALID);
    CHECK_TEXT(why.field, "input.odd");
    CHECK_INT(catalogue_check(*state_, SLICE("a.b"), (struct slice){ 0 }, &why, NULL),
              STATUS_INVALID);
    CHECK_TEXT(why.field, "input.must");
    CHECK_INT(catalogue_check(*state_, SLICE("a.b"), SLICE("\x90"), &why, NULL), STATUS_INVALID);
    CHECK_TEXT(why.field, "input");
    CHECK_INT(catalogue_check(*state_, SLICE("a.c"), SLICE("\x80"), &why, NULL), STATUS_NOT_FOUND);
    CHECK_TEXT(why.field, "task");
    CHECK(strstr(why.message, "a.c"));
}

TEST(a_node_is_replaced_by_a_later_one)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    CHECK_INT(catalogue_put(*state_, declare(&buffer, "a.c")), 0);
    CHECK_INT(catalogue_count(*state_), 2);
    static const char plain[] = "\x81\xa4name\xa3"
                                "a.b";
    CHECK_INT(catalogue_put(*state_, SLICE(plain)), 0);
    CHECK_INT(catalogue_count(*state_), 2);
    struct refusal why = { 0 };
    CHECK_INT(catalogue_check(*state_, SLICE("a.b"), (struct slice){ 0 }, &why, NULL), 0);
    CHECK_INT(catalogue_check(*state_, SLICE("a.c"), (struct slice){ 0 }, &why, NULL),
              STATUS_INVALID);
    msgpack_sbuffer_destroy(&buffer);
}

TEST(a_node_says_how_often_it_may_fail)
{
    static const char limited[] = "\x84\xa4name\xa3"
                                  "a.d\xac"
                                  "failures_max\x07\xab"
                                  "crashes_max\x02\xa8retry_ms\xcd\x01\x00";
    static const char too_fragile[] = "\x82\xa4name\xa3"
                                      "a.d\xab"
                                      "crashes_max\x65";
    static const char too_often[] = "\x82\xa4name\xa3"
                                    "a.d\xac"
                                    "failures_max\xcd\x03\xe9";
    struct refusal why = { 0 };
    struct slice name;
    CHECK_INT(catalogue_put(*state_, slice_make(limited, sizeof limited - 1)), 0);
    CHECK_INT(catalogue_limits(*state_, SLICE("a.d")).failures_max, 7);
    CHECK_INT(catalogue_limits(*state_, SLICE("a.d")).crashes_max, 2);
    CHECK_INT(catalogue_limits(*state_, SLICE("a.d")).retry_ms, 256);
    CHECK_INT(catalogue_limits(*state_, SLICE("a.b")).failures_max, 0);
    CHECK_INT(catalogue_limits(*state_, SLICE("a.c")).failures_max, 0);
    CHECK_INT(catalogue_verify(SLICE(too_often), &why, &name), STATUS_INVALID);
    CHECK_TEXT(why.field, "failures_max");
    CHECK_INT(why.limit, 1000);
    CHECK_INT(catalogue_verify(SLICE(too_fragile), &why, &name), STATUS_INVALID);
    CHECK_TEXT(why.field, "crashes_max");
}

TEST(a_node_says_whether_it_writes_files)
{
    static const char writes[] = "\x82\xa4name\xa3"
                                 "a.e\xa5space\xc3";
    CHECK_INT(catalogue_put(*state_, slice_make(writes, sizeof writes - 1)), 0);
    CHECK(catalogue_space(*state_, SLICE("a.e")));
    CHECK(!catalogue_space(*state_, SLICE("a.b")));
    CHECK(!catalogue_space(*state_, SLICE("a.unknown")));
}

#define REFERENCE "${{ stages.x.y.output.z }}"

WRITER(reference, pack_text(pk, REFERENCE))
WRITER(longer, pack_text(pk, "a " REFERENCE))
WRITER(odd, pack_text(pk, "${{ x }}"))

TEST(a_reference_fits_any_type)
{
    static const char *const types[] = { "text",   "path", "whole", "number",
                                         "switch", "list", "map",   "any" };
    for (size_t k = 0; k < 8; k++) {
        struct refusal why = { 0 };
        const bool texts = k < 2 || k == 7;
        CHECK_INT(check(*state_, types[k], write_reference, &why), 0);
        CHECK_INT(check(*state_, types[k], write_longer, &why), texts ? 0 : STATUS_INVALID);
        CHECK_INT(check(*state_, types[k], write_odd, &why), STATUS_INVALID);
        CHECK(strstr(why.message, "stages.SERVICE.METHOD.output.NAME"));
    }
}

/* {name: a.u, inputs: [audio, required, upstream x; n, whole, upstream y; plain]} */
static void put_upstreams(catalogue_t *catalogue)
{
    static const struct m_input inputs[] = {
        { .name = SLICE_INIT("audio"),
          .type = SLICE_INIT("path"),
          .required = true,
          .upstream = SLICE_INIT("x") },
        { .name = SLICE_INIT("n"), .type = SLICE_INIT("whole"), .upstream = SLICE_INIT("y") },
        { .name = SLICE_INIT("plain"), .type = SLICE_INIT("any") },
    };
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 2);
    pack_text(&pk, "name");
    pack_text(&pk, "a.u");
    pack_text(&pk, "inputs");
    msgpack_pack_array(&pk, 3);
    for (size_t i = 0; i < 3; i++)
        message_encode(&m_input_layout, &inputs[i], &pk);
    CHECK_INT(catalogue_put(catalogue, taken(&buffer)), 0);
    msgpack_sbuffer_destroy(&buffer);
}

TEST(what_others_stand_in_for_need_not_be_given)
{
    static const struct {
        struct slice input;
        bool fits, refers;
    } rows[] = {
        { SLICE_INIT(""), false, true },
        { SLICE_INIT("\x80"), false, true },
        { SLICE_INIT("\x81\xa5"
                     "audio\xa1"
                     "f"),
          true, true },
        { SLICE_INIT("\x82\xa5"
                     "audio\xa1"
                     "f\xa1n\xc0"),
          true, true },
        { SLICE_INIT("\x82\xa5"
                     "audio\xa1"
                     "f\xa1n\x01"),
          true, false },
        { SLICE_INIT("\x83\xa5"
                     "audio\xa1"
                     "f\xa1n\x01\xa5plain\x91\xb9"
                     "${{ stages.a.b.output.c}}"),
          true, true },
    };
    put_upstreams(*state_);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct refusal why = { 0 };
        bool refers = false;
        CHECK_INT(catalogue_check(*state_, SLICE("a.u"), rows[i].input, &why, &refers), 0);
        CHECK_INT(catalogue_fits(*state_, SLICE("a.u"), rows[i].input, &why),
                  rows[i].fits ? 0 : STATUS_INVALID);
        CHECK_TEXT(why.field, rows[i].fits ? "" : "input.audio");
        CHECK_INT(refers, rows[i].refers);
    }
    struct upstream_input inputs[CATALOGUE_INPUTS_MAX];
    size_t count = 0;
    CHECK(catalogue_upstreams(*state_, SLICE("a.u"), inputs, &count));
    CHECK_INT(count, 2);
    CHECK_SLICE(inputs[1].name, "n");
    CHECK_SLICE(inputs[1].outputs, "y");
    CHECK(catalogue_upstreams(*state_, SLICE("a.b"), inputs, &count));
    CHECK_INT(count, 0);
    CHECK(!catalogue_upstreams(*state_, SLICE("a.none"), inputs, &count));
}

TEST(a_wrong_declaration_is_refused)
{
    UNUSED;
    struct refusal why = { 0 };
    struct slice name;
    static const char bad_name[] = "\x81\xa4name\xa3"
                                   "abc";
    static const char bad_type[] = "\x82\xa4name\xa3"
                                   "a.b\xa6inputs\x91\x82\xa4name\xa1x\xa4type\xa3odd";
    CHECK_INT(catalogue_verify(SLICE("\x80"), &why, &name), STATUS_INVALID);
    CHECK_TEXT(why.field, "name");
    CHECK_INT(catalogue_verify(SLICE("\x90"), &why, &name), STATUS_MALFORMED);
    CHECK_INT(catalogue_verify(SLICE(bad_name), &why, &name), STATUS_INVALID);
    CHECK_TEXT(why.field, "name");
    CHECK_INT(catalogue_verify(SLICE(bad_type), &why, &name), STATUS_INVALID);
    CHECK_TEXT(why.field, "inputs.0.type");

    scoped(catalogue) empty = catalogue_new();
    CHECK_INT(catalogue_put(empty, SLICE(bad_type)), STATUS_INVALID);
    CHECK_INT(catalogue_check(empty, SLICE("a.b"), (struct slice){ 0 }, &why, NULL),
              STATUS_NOT_FOUND);
    CHECK(strstr(why.message, "no worker has ever registered"));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(inputs_fit_their_types),
        EACH(what_is_missing_or_unknown_is_named),
        EACH(a_node_is_replaced_by_a_later_one),
        EACH(a_node_says_how_often_it_may_fail),
        EACH(a_node_says_whether_it_writes_files),
        EACH(a_reference_fits_any_type),
        EACH(what_others_stand_in_for_need_not_be_given),
        EACH(a_wrong_declaration_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
