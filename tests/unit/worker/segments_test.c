#include "services/worker/segments.h"

#include "common/scoped.h"

#include <math.h>

#include "tests/unit/test.h"

static char nobody[] = "";

static struct subtitle_entry entry(double start_s, double end_s)
{
    return (struct subtitle_entry){ start_s, end_s, nobody, nobody };
}

static const struct segment_rules usual = { .audio_s = 100, .min_s = 1, .max_s = 30 };

static void check_segment(const segments_t *segments, size_t i, double start_s, double end_s,
                          enum segment_state state)
{
    CHECK(i < segments->count);
    CHECK(fabs(segments->items[i].start_s - start_s) < 1e-9);
    CHECK(fabs(segments->items[i].end_s - end_s) < 1e-9);
    CHECK_INT(segments->items[i].state, state);
}

TEST(an_entry_is_a_segment_and_they_go_by_start)
{
    UNUSED;
    struct subtitle_entry entries[] = { entry(10, 12), entry(3, 5) };
    subtitle_t subtitle = { entries, 2 };
    scoped(segments) segments = segments_new(&subtitle, &usual);
    CHECK_INT(segments->count, 2);
    check_segment(segments, 0, 3, 5, SEGMENT_WANTED);
    check_segment(segments, 1, 10, 12, SEGMENT_WANTED);
    CHECK(segments->items[0].entry == &entries[1]);
}

TEST(too_short_is_skipped_and_exactly_long_enough_is_not)
{
    UNUSED;
    struct subtitle_entry entries[] = { entry(1, 2), entry(3, 3.9), entry(5, 5), entry(99.5, 120) };
    subtitle_t subtitle = { entries, 4 };
    scoped(segments) segments = segments_new(&subtitle, &usual);
    CHECK_INT(segments_count(segments, SEGMENT_WANTED), 1);
    CHECK_INT(segments_count(segments, SEGMENT_SKIPPED), 3);
    check_segment(segments, 3, 99.5, 100, SEGMENT_SKIPPED);
}

TEST(too_long_is_cut_into_equal_parts)
{
    UNUSED;
    struct subtitle_entry entries[] = { entry(0, 60), entry(60, 91) };
    subtitle_t subtitle = { entries, 2 };
    scoped(segments) segments = segments_new(&subtitle, &usual);
    CHECK_INT(segments->count, 4);
    check_segment(segments, 0, 0, 30, SEGMENT_WANTED);
    check_segment(segments, 1, 30, 60, SEGMENT_WANTED);
    check_segment(segments, 2, 60, 75.5, SEGMENT_WANTED);
    check_segment(segments, 3, 75.5, 91, SEGMENT_WANTED);
    CHECK_INT(segments->items[3].part, 2);
    CHECK_INT(segments->items[3].parts, 2);
}

TEST(times_that_make_no_sense_have_failed_with_a_reason)
{
    UNUSED;
    struct subtitle_entry entries[] = { entry(-1, 5), entry(9, 8), entry(100, 105) };
    subtitle_t subtitle = { entries, 3 };
    scoped(segments) segments = segments_new(&subtitle, &usual);
    CHECK_INT(segments_count(segments, SEGMENT_FAILED), 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(segments->items[i].error && segments->items[i].error[0]);
}

TEST(silence_is_what_no_entry_covers)
{
    UNUSED;
    struct subtitle_entry entries[] = { entry(50, 60), entry(10, 20), entry(12, 14),
                                        entry(20.5, 30) };
    subtitle_t subtitle = { entries, 4 };
    struct segment_rules rules = usual;
    rules.silence = true;
    scoped(segments) segments = segments_new(&subtitle, &rules);
    CHECK_INT(segments->count, 8);
    check_segment(segments, 0, 0, 10, SEGMENT_WANTED);
    CHECK(segments->items[0].entry == NULL);
    check_segment(segments, 1, 10, 20, SEGMENT_WANTED);
    check_segment(segments, 3, 20.5, 30, SEGMENT_WANTED);
    check_segment(segments, 4, 30, 50, SEGMENT_WANTED);
    check_segment(segments, 6, 60, 80, SEGMENT_WANTED);
    check_segment(segments, 7, 80, 100, SEGMENT_WANTED);
}

TEST(no_entry_no_segment)
{
    UNUSED;
    subtitle_t subtitle = { NULL, 0 };
    struct segment_rules rules = usual;
    rules.silence = true;
    scoped(segments) segments = segments_new(&subtitle, &rules);
    CHECK_INT(segments->count, 0);
}

TEST(a_failure_keeps_its_last_reason)
{
    UNUSED;
    struct subtitle_entry entries[] = { entry(1, 3) };
    subtitle_t subtitle = { entries, 1 };
    scoped(segments) segments = segments_new(&subtitle, &usual);
    segment_fail(&segments->items[0], "first");
    segment_fail(&segments->items[0], "bad \xff byte");
    CHECK_TEXT(segments->items[0].error, "bad ? byte");
    CHECK_INT(segments->items[0].state, SEGMENT_FAILED);
}

TEST(a_speakers_folder_is_one_plain_name)
{
    UNUSED;
    static const char *const names[][2] = {
        { "SPEAKER_00", "SPEAKER_00" },
        { "", "unknown" },
        { "..", "_." },
        { "../x", "_._x" },
        { "a/b c", "a_b_c" },
        { "\xE4\xBD\xA0", "\xE4\xBD\xA0" },
        { ".hidden", "_hidden" },
        { "%d\n\"", "_d__" },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[32], folder[SEGMENT_FILE_MAX];
        CHECK(slice_copy(slice_of(names[i][0]), name, sizeof name));
        struct subtitle_entry spoken = { 0, 1, nobody, name };
        struct segment segment = { .entry = &spoken };
        segment_folder(&segment, folder);
        CHECK_TEXT(folder, names[i][1]);
    }
    struct segment silence = { .entry = NULL };
    char folder[SEGMENT_FILE_MAX];
    segment_folder(&silence, folder);
    CHECK_TEXT(folder, "silence");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(an_entry_is_a_segment_and_they_go_by_start),
        HOLDS(too_short_is_skipped_and_exactly_long_enough_is_not),
        HOLDS(too_long_is_cut_into_equal_parts),
        HOLDS(times_that_make_no_sense_have_failed_with_a_reason),
        HOLDS(silence_is_what_no_entry_covers),
        HOLDS(no_entry_no_segment),
        HOLDS(a_failure_keeps_its_last_reason),
        HOLDS(a_speakers_folder_is_one_plain_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
