#include "services/front/json_body.h"

#include "common/status.h"
#include "tests/unit/test.h"

#include <string.h>

static int read_text(const char *text, char *error)
{
    json_t *object = NULL;
    int r = json_body_read(slice_of(text), &object, error);
    CHECK((r == 0) == (object != NULL));
    json_decref(object);
    return r;
}

TEST(an_object_is_read)
{
    UNUSED;
    char error[JSON_BODY_ERROR] = "";
    CHECK_INT(read_text("{}", error), 0);
    CHECK_INT(read_text(" {\"a\":[1,{\"b\":\"[[[\\\"{{\"}],\"中\":null} \n", error), 0);
    CHECK_TEXT(error, "");
}

TEST(everything_else_is_refused_in_words)
{
    UNUSED;
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        { "", "empty" },
        { "[]", "a JSON object" },
        { "\"x\"", "line 1" },
        { "{", "line 1" },
        { "{} x", "end of file expected" },
        { "{\"a\":1,\"a\":2}", "duplicate" },
        { "{\"a\":\"\xff\"}", "unable to decode byte" },
        { "{\"a\":\"\\u0000\"}", "u0000" },
        { "{\"a\":1e999}", "real number overflow" },
        { "{\"a\":99999999999999999999}", "too big integer" },
        { "{'a':1}", "line 1" },
        { "nul", "line 1" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char error[JSON_BODY_ERROR] = "";
        CHECK_INT(read_text(rows[i].text, error), STATUS_INVALID);
        if (!strstr(error, rows[i].word))
            fail_msg("%s: %s", rows[i].text, error);
    }
}

TEST(depth_has_a_bound)
{
    UNUSED;
    char text[4 * JSON_BODY_DEPTH + 16] = "{\"a\":", error[JSON_BODY_ERROR];
    const size_t start = strlen(text);
    for (int extra = 0; extra < 2; extra++) {
        const size_t depth = (size_t)(JSON_BODY_DEPTH - 1 + extra);
        memset(text + start, '[', depth);
        memset(text + start + depth, ']', depth);
        text[start + 2 * depth] = '}';
        text[start + 2 * depth + 1] = '\0';
        CHECK_INT(read_text(text, error), extra ? STATUS_INVALID : 0);
    }
    CHECK_TEXT(error, "the body is nested too deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(an_object_is_read),
        HOLDS(everything_else_is_refused_in_words),
        HOLDS(depth_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
