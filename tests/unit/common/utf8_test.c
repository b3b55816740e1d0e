#include "common/utf8.h"

#include "common/slice.h"

#include "tests/unit/test.h"

TEST(what_is_no_utf_8_becomes_question_marks)
{
    UNUSED;
    static const char *const texts[][2] = {
        { "plain\ttext\n", "plain\ttext\n" },
        { "", "" },
        { "\xE4\xBD\xA0\xC3\xA9\xF0\x9F\x8E\xAC", "\xE4\xBD\xA0\xC3\xA9\xF0\x9F\x8E\xAC" },
        { "\xE4\xBD", "??" },           /* cut off */
        { "\xC0\x80", "??" },           /* longer than needed */
        { "\xED\xA0\x80", "???" },      /* half of a pair */
        { "\xF4\x90\x80\x80", "????" }, /* beyond the last */
        { "\x80x\xFFy\xF8", "?x?y?" },
        { "\x1B[31m\x7F\r", "?[31m??" },
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[32];
        CHECK(slice_copy(slice_of(texts[i][0]), text, sizeof text));
        utf8_clean(text);
        CHECK_TEXT(text, texts[i][1]);
    }
}

TEST(a_cut_leaves_whole_characters)
{
    UNUSED;
    CHECK_INT(utf8_cut("abc", 9), 3);
    CHECK_INT(utf8_cut("abc", 3), 3);
    CHECK_INT(utf8_cut("abc", 2), 2);
    CHECK_INT(utf8_cut("a\xE4\xBD\xA0", 4), 4);
    CHECK_INT(utf8_cut("a\xE4\xBD\xA0", 3), 1);
    CHECK_INT(utf8_cut("a\xE4\xBD\xA0", 1), 1);
    CHECK_INT(utf8_cut("\xE4\xBD\xA0", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(what_is_no_utf_8_becomes_question_marks),
        HOLDS(a_cut_leaves_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
