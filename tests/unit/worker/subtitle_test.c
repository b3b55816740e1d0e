#include "services/worker/subtitle.h"

#include "common/scoped.h"
#include "common/status.h"

#include "tests/unit/test.h"

static char error[SUBTITLE_ERROR];

static subtitle_t *parsed(const char *text)
{
    subtitle_t *subtitle = NULL;
    CHECK_INT(subtitle_parse(slice_of(text), &subtitle, error), 0);
    return subtitle;
}

static void check_entry(const subtitle_t *subtitle, size_t i, double start_s, double end_s,
                        const char *text, const char *speaker)
{
    CHECK(i < subtitle->count);
    CHECK(subtitle->entries[i].start_s == start_s);
    CHECK(subtitle->entries[i].end_s == end_s);
    CHECK_TEXT(subtitle->entries[i].text, text);
    CHECK_TEXT(subtitle->entries[i].speaker, speaker);
}

TEST(srt_is_read_whatever_its_line_ends)
{
    UNUSED;
    static const char *const texts[] = {
        "1\n00:00:01,500 --> 00:00:02,000\nfirst\nline\n\n2\n01:02:03,004 --> 01:02:04,000\nx\n",
        "1\r\n00:00:01,500 --> 00:00:02,000\r\nfirst\r\nline\r\n\r\n2\r\n01:02:03,004 --> "
        "01:02:04,000\r\nx",
        "1\r00:00:01,500 --> 00:00:02,000\rfirst\rline\r\r2\r01:02:03,004 --> 01:02:04,000\rx",
        "\xEF\xBB\xBF"
        "1\n00:00:01.5 --> 00:00:02.0 position:10%\nfirst\nline\n2\n01:02:03.004-->01:02:04\nx\n",
        "WEBVTT\n\nNOTE hello\n\n00:01.500 --> 00:02.000\nfirst\nline\n\n01:02:03.004 --> "
        "01:02:04.000\nx\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        scoped(subtitle) subtitle = parsed(texts[i]);
        CHECK_INT(subtitle->count, 2);
        check_entry(subtitle, 0, 1.5, 2, "first line", "");
        check_entry(subtitle, 1, 3723.004, 3724, "x", "");
    }
}

TEST(a_speaker_stands_in_brackets_before_the_text)
{
    UNUSED;
    scoped(subtitle) subtitle = parsed("00:00:00,000 --> 00:00:01,000\n[SPEAKER_07] hello\n\n"
                                       "00:00:01,000 --> 00:00:02,000\n[music] hello\n\n"
                                       "00:00:02,000 --> 00:00:03,000\n[Speaker 2]: hello\n\n"
                                       "00:00:03,000 --> 00:00:04,000\n[speaker\n");
    CHECK_INT(subtitle->count, 4);
    check_entry(subtitle, 0, 0, 1, "hello", "SPEAKER_07");
    check_entry(subtitle, 1, 1, 2, "[music] hello", "");
    check_entry(subtitle, 2, 2, 3, "hello", "Speaker 2");
    check_entry(subtitle, 3, 3, 4, "[speaker", "");
}

TEST(text_that_is_no_utf_8_is_made_so)
{
    UNUSED;
    scoped(subtitle) subtitle =
        parsed("00:00:00,000 --> 00:00:01,000\n\xC4\xE3 \xE4\xBD\xA0\x01\n");
    check_entry(subtitle, 0, 0, 1, "?? \xE4\xBD\xA0?", "");
}

TEST(json_segments_are_read_bare_or_in_a_map)
{
    UNUSED;
    static const char *const texts[] = {
        "[{\"start\": 1, \"end\": 2.5, \"text\": \"a\", \"speaker\": \"S\"}, {\"start\": 3, "
        "\"end\": 4}]",
        " {\"language\": \"en\", \"segments\": [{\"start\": 1, \"end\": 2.5, \"text\": \"a\", "
        "\"speaker\": \"S\", "
        "\"words\": []}, {\"start\": 3, \"end\": 4, \"speaker\": null}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        scoped(subtitle) subtitle = parsed(texts[i]);
        CHECK_INT(subtitle->count, 2);
        check_entry(subtitle, 0, 1, 2.5, "a", "S");
        check_entry(subtitle, 1, 3, 4, "", "");
    }
}

TEST(what_says_that_it_is_empty_has_no_entry)
{
    UNUSED;
    static const char *const texts[] = { "", "\n \n", "[]", "{\"segments\": []}", "WEBVTT\n" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        scoped(subtitle) subtitle = parsed(texts[i]);
        CHECK_INT(subtitle->count, 0);
    }
}

TEST(what_is_neither_is_refused_with_a_sentence)
{
    UNUSED;
    static const char *const texts[] = { "prose",
                                         "1\n00:00 -> 00:01\nx\n",
                                         "1\n:: --> ::\n",
                                         "1\n1 --> 2\nx\n",
                                         "1\n1:2:3:4 --> 2:3\nx\n",
                                         "{",
                                         "{}",
                                         "[1]",
                                         "[{\"start\": 1}]",
                                         "[{\"start\": \"1\", \"end\": 2}]",
                                         "{\"segments\": {}}" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        subtitle_t *subtitle = NULL;
        CHECK_INT(subtitle_parse(slice_of(texts[i]), &subtitle, error), STATUS_INVALID);
        CHECK(subtitle == NULL);
        CHECK(error[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(srt_is_read_whatever_its_line_ends),
        HOLDS(a_speaker_stands_in_brackets_before_the_text),
        HOLDS(text_that_is_no_utf_8_is_made_so),
        HOLDS(json_segments_are_read_bare_or_in_a_map),
        HOLDS(what_says_that_it_is_empty_has_no_entry),
        HOLDS(what_is_neither_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
