#include "services/worker/inputs.h"

#include "common/scoped.h"
#include "common/status.h"
#include "tests/unit/test.h"

#define NONE    \
    {           \
        NULL, 0 \
    }

static const struct gantry_input inputs[] = {
    { "text", "text", false, NONE, "", NULL },
    { "whole", "whole", false, NODE_PACKED("\x64"), "", NULL },
    { "number", "number", false, NONE, "", NULL },
    { "switch", "switch", false, NONE, "", NULL },
    { "list", "list", false, NONE, "", NULL },
    { "map", "map", false, NONE, "", NULL },
    { "any", "any", true, NONE, "", NULL },
};
static const struct node_row row = { .name = "test.node",
                                     .inputs = inputs,
                                     .inputs_count = sizeof inputs / sizeof inputs[0] };
static const struct gantry_input path_inputs[] = { { "path", "path", false, NONE, "", NULL } };
static const struct node_row path_row = { .name = "test.path",
                                          .inputs = path_inputs,
                                          .inputs_count = 1 };
static const struct inputs_places nowhere = { "", "", false, NULL };

TEST(defaults_fill_what_is_not_given)
{
    UNUSED;
    scoped_in(packed) packed = { .failed = false };
    struct fault fault = { 0 };
    CHECK_INT(inputs_resolve(&row, &nowhere,
                             SLICE("\x82\xa3"
                                   "any\x01\xa4text\xa1x"),
                             &packed, &fault),
              0);
    CHECK_SLICE(packed_slice(&packed), "\x83\xa4text\xa1x\xa5whole\x64\xa3"
                                       "any\x01");
}

TEST(null_is_as_good_as_not_given)
{
    UNUSED;
    scoped_in(packed) packed = { .failed = false };
    struct fault fault = { 0 };
    struct slice given = SLICE("\x83\xa3"
                               "any\x01\xa4text\xc0\xa5whole\xc0");
    CHECK_INT(inputs_resolve(&row, &nowhere, given, &packed, &fault), 0);
    CHECK_SLICE(packed_slice(&packed), "\x82\xa5whole\x64\xa3"
                                       "any\x01");
}

TEST(what_is_wrong_is_named)
{
    UNUSED;
    static const struct {
        struct slice given;
        const char *field;
    } rows[] = {
        { { NULL, 0 }, "any" },
        { SLICE_INIT("\x80"), "any" },
        { SLICE_INIT("\x81\xa3"
                     "any\xc0"),
          "any" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa4tixt\x01"),
          "tixt" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa4text\x01"),
          "text" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa4text\xc4\x01x"),
          "text" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa5whole\xca\0\0\0\0"),
          "whole" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa6number\xa1"
                     "1"),
          "number" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa6switch\x01"),
          "switch" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa4list\x80"),
          "list" },
        { SLICE_INIT("\x82\xa3"
                     "any\x01\xa3map\x90"),
          "map" },
        { SLICE_INIT("\x91\x01"), "" },
        { SLICE_INIT("\x81\x01\x01"), "" },
        { SLICE_INIT("\x81\xa3"
                     "any\xc1"),
          "" },
        { SLICE_INIT("\x81\xa3"
                     "any\x01\x01"),
          "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scoped_in(packed) packed = { .failed = false };
        struct fault fault = { 0 };
        CHECK_INT(inputs_resolve(&row, &nowhere, rows[i].given, &packed, &fault), STATUS_INVALID);
        CHECK_INT(fault.code, STATUS_INVALID);
        CHECK_TEXT(fault.field, rows[i].field);
        CHECK(fault.message[0]);
    }
}

TEST(numbers_may_be_whole_or_negative)
{
    UNUSED;
    static const struct slice rows[] = { SLICE_INIT("\x82\xa3"
                                                    "any\x01\xa6number\x07"),
                                         SLICE_INIT("\x82\xa3"
                                                    "any\x01\xa6number\xff"),
                                         SLICE_INIT("\x82\xa3"
                                                    "any\x01\xa5whole\xff") };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scoped_in(packed) packed = { .failed = false };
        struct fault fault = { 0 };
        CHECK_INT(inputs_resolve(&row, &nowhere, rows[i], &packed, &fault), 0);
    }
}

TEST(engines_get_addresses_as_they_are)
{
    UNUSED;
    static const struct {
        struct slice given;
        bool fetched;
    } rows[] = {
        { SLICE_INIT("\x81\xa4path\xa8http://x"), true },
        { SLICE_INIT("\x81\xa4path\xa9HTTPS://x"), true },
        { SLICE_INIT("\x81\xa4path\xab"
                     "minio://b/k"),
          true },
        { SLICE_INIT("\x81\xa4path\xa8s3://b/k"), true },
        { SLICE_INIT("\x81\xa4path\xa7http://"), false },
        { SLICE_INIT("\x81\xa4path\xa7"
                     "ftp://x"),
          false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct inputs_places here = { "/proc/self", "", true, NULL };
        scoped_in(packed) packed = { .failed = false };
        scoped_in(packed) names = { .failed = false };
        struct fault fault = { 0 };
        msgpack_packer pk = packed_packer(&names);
        inputs_addresses(&path_row, rows[i].given, &pk);
        CHECK_SLICE(packed_slice(&names), rows[i].fetched ? "\x91\xa4path" : "\x90");
        CHECK_INT(inputs_resolve(&path_row, &here, rows[i].given, &packed, &fault),
                  rows[i].fetched ? 0 : STATUS_UNSUPPORTED);
        if (rows[i].fetched)
            CHECK_INT(slice_equal(packed_slice(&packed), rows[i].given), true);
    }
}

TEST(other_nodes_cannot_read_addresses)
{
    UNUSED;
    static const struct {
        struct slice given;
        int code;
    } rows[] = {
        { SLICE_INIT("\x81\xa4path\xa8http://x"), STATUS_UNSUPPORTED },
        { SLICE_INIT("\x81\xa4path\xa7"
                     "a://b/c"),
          STATUS_UNSUPPORTED },
        { SLICE_INIT("\x81\xa4path\xa6/a/://"), STATUS_DENIED }, /* a path, though an odd one */
        { SLICE_INIT("\x81\xa4path\xa3://"), STATUS_NOT_FOUND },
        { SLICE_INIT("\x81\xa4path\xa0"), STATUS_INVALID },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct inputs_places here = { "/proc/self", "", false, NULL };
        scoped_in(packed) packed = { .failed = false };
        struct fault fault = { 0 };
        CHECK_INT(inputs_resolve(&path_row, &here, rows[i].given, &packed, &fault), rows[i].code);
        CHECK_TEXT(fault.field, "path");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(defaults_fill_what_is_not_given),
        HOLDS(null_is_as_good_as_not_given),
        HOLDS(what_is_wrong_is_named),
        HOLDS(numbers_may_be_whole_or_negative),
        HOLDS(engines_get_addresses_as_they_are),
        HOLDS(other_nodes_cannot_read_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
