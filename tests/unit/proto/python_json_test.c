/* With --dump: reads JSON values, one a line, and prints each as python_json() writes it, so that
 * tests/system/test_callback.py can compare thousands with Python's own. */
#include "proto/python_json.h"

#include "common/scoped.h"
#include "common/slice.h"
#include "common/status.h"
#include "tests/unit/test.h"

#include <stdio.h>

static json_t *value_of(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    return value;
}

static void check_layout(const char *text, const char *should)
{
    scoped_text char *is = NULL;
    size_t size = 0;
    json_t *value = value_of(text);
    CHECK_INT(python_json(value, &is, &size), 0);
    json_decref(value);
    CHECK_TEXT(is, should);
    CHECK_INT(size, strlen(should));
}

TEST(floats_are_written_as_repr_does)
{
    UNUSED;
    static const struct {
        double number;
        const char *text;
    } rows[] = {
        { 0.1, "0.1" },
        { 1.0, "1.0" },
        { 0.0, "0.0" },
        { -0.0, "-0.0" },
        { -2.5, "-2.5" },
        { 100.0, "100.0" },
        { 1e15, "1000000000000000.0" },
        { 9999999999999998.0, "9999999999999998.0" },
        { 1e16, "1e+16" },
        { 12345678901234568.0, "1.2345678901234568e+16" },
        { 1e22, "1e+22" },
        { 1e23, "1e+23" },
        { 1e100, "1e+100" },
        { 0.0001, "0.0001" },
        { 0.00012, "0.00012" },
        { 0.00001, "1e-05" },
        { -1.5e-07, "-1.5e-07" },
        { 5e-324, "5e-324" },
        { 2.2250738585072014e-308, "2.2250738585072014e-308" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { 5.684341886080802e-14, "5.684341886080802e-14" },
        { 1.0 / 3, "0.3333333333333333" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 123.456, "123.456" },
        { 2251799813685248.5, "2251799813685248.5" },
        { 9007199254740992.0, "9007199254740992.0" },
        { 1769828400.123, "1769828400.123" },
    };
    char text[PYTHON_FLOAT];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_TEXT(python_float(rows[i].number, text), rows[i].text);
}

TEST(values_have_a_blank_behind_comma_and_colon)
{
    UNUSED;
    check_layout("null", "null");
    check_layout("true", "true");
    check_layout("false", "false");
    check_layout("-9223372036854775808", "-9223372036854775808");
    check_layout("[]", "[]");
    check_layout("{}", "{}");
    check_layout("[1,2.0,[],{}]", "[1, 2.0, [], {}]");
    check_layout("{\"b\":{\"x\":[{\"y\":null}]},\"a\":[true,false]}",
                 "{\"b\": {\"x\": [{\"y\": null}]}, \"a\": [true, false]}");
}

TEST(texts_are_ascii)
{
    UNUSED;
    check_layout("\"/a<>&'~\"", "\"/a<>&'~\"");
    check_layout("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    check_layout("\"\\u0000\\u0001\\u001f\\u007f\\u0080\"",
                 "\"\\u0000\\u0001\\u001f\\u007f\\u0080\"");
    check_layout("\"caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\"", "\"caf\\u00e9 \\u4e2d\\u6587\"");
    check_layout("\"\xef\xbf\xbf\xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"",
                 "\"\\uffff\\ud800\\udc00\\ud83d\\ude00\\udbff\\udfff\"");
    check_layout("{\"\xe4\xb8\xad\\n\":1}", "{\"\\u4e2d\\n\": 1}");
}

TEST(keys_keep_their_order)
{
    UNUSED;
    check_layout("{\"z\":1,\"a\":2,\"m\":3,\"\":4,\"b\":5,\"y\":6,\"c\":7,\"x\":8,\"d\":9}",
                 "{\"z\": 1, \"a\": 2, \"m\": 3, \"\": 4, \"b\": 5, \"y\": 6, \"c\": 7, \"x\": 8, "
                 "\"d\": 9}");
}

TEST(depth_has_a_bound)
{
    UNUSED;
    char text[2 * PYTHON_JSON_DEPTH + 3] = "";
    char *is = NULL;
    memset(text, '[', PYTHON_JSON_DEPTH);
    memset(text + PYTHON_JSON_DEPTH, ']', PYTHON_JSON_DEPTH);
    check_layout(text, text);
    memset(text, '[', PYTHON_JSON_DEPTH + 1);
    memset(text + PYTHON_JSON_DEPTH + 1, ']', PYTHON_JSON_DEPTH + 1);
    json_t *value = value_of(text);
    CHECK_INT(python_json(value, &is, NULL), STATUS_TOO_LARGE);
    json_decref(value);
    assert_null(is);
}

static int dump(void)
{
    scoped_text char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        scoped_text char *text = NULL;
        json_t *value = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!value || python_json(value, &text, NULL))
            return 1;
        json_decref(value);
        (void)puts(text);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HOLDS(floats_are_written_as_repr_does),
        HOLDS(values_have_a_blank_behind_comma_and_colon),
        HOLDS(texts_are_ascii),
        HOLDS(keys_keep_their_order),
        HOLDS(depth_has_a_bound),
    };
    if (argc > 1 && strcmp(argv[1], "--dump") == 0)
        return dump();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
