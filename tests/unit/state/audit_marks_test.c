#include "tests/unit/test.h"

#include "services/state/audit_marks.h"

#include <stdio.h>

/* What one pass is told: stages, then holders; each list ends with NULL. */
struct pass {
    const char *stages[8], *queues[8], *sessions[8];
};

static void tell(marks_t *marks, const struct pass *pass)
{
    for (size_t i = 0; i < 8 && pass->stages[i]; i++)
        CHECK_INT(marks_stage(marks, slice_of(pass->stages[i])), 0);
    for (size_t i = 0; i < 8 && pass->sessions[i]; i++)
        CHECK_INT(marks_holder(marks, slice_of(pass->sessions[i]), false), 0);
    for (size_t i = 0; i < 8 && pass->queues[i]; i++)
        CHECK_INT(marks_holder(marks, slice_of(pass->queues[i]), true), 0);
}

/* The suspects of a pass as "a/s.x 0:1 ", in the order they were met. */
static const char *suspects(marks_t *marks, const struct pass *pass)
{
    static char text[1024];
    struct suspect suspect;
    text[0] = '\0';
    marks_begin(marks);
    do {
        tell(marks, pass);
        while (marks_suspect(marks, &suspect)) {
            const size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, "%.*s:%d ", SLICE_ARG(suspect.text),
                     (int)suspect.seen);
        }
    } while (marks_more(marks));
    return text;
}

TEST(what_one_holds_is_fine)
{
    UNUSED;
    const struct pass fine = { { "a/s.x 0", "b/s.x 2", "c/s.x 0" },
                               { "a/s.x 0", "b/s.x 2", "b/s.x 1", "gone/s.x 0" },
                               { "c/s.x 0" } };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_TEXT(suspects(marks, &fine), "");
        CHECK(!marks_amiss(marks));
    }
    marks_destroy(&marks);
    CHECK(!marks);
}

TEST(nothing_is_fine)
{
    UNUSED;
    const struct pass none = { { NULL }, { "a/s.x 0" }, { NULL } };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    CHECK_TEXT(suspects(marks, &none), "");
    CHECK_TEXT(suspects(marks, &none), "");
    marks_destroy(&marks);
}

TEST(a_suspect_was_amiss_twice_in_a_row)
{
    UNUSED;
    const struct pass bad = { { "a/s.x 0", "b/s.x 2", "c/s.x 0", "d/s.x 0" },
                              { "b/s.x 2", "b/s.x 2", "d/s.x 0" },
                              { "e/s.x 4", "d/s.x 0" } };
    const struct pass moved = { { "a/s.x 1", "b/s.x 2" }, { "b/s.x 2" }, { NULL } };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    CHECK_TEXT(suspects(marks, &bad), "");
    CHECK(marks_amiss(marks));
    CHECK_TEXT(suspects(marks, &bad), "a/s.x 0:0 b/s.x 2:2 c/s.x 0:0 d/s.x 0:2 e/s.x 4:1 ");
    CHECK_TEXT(suspects(marks, &moved), ""); /* a has another generation by now */
    CHECK_TEXT(suspects(marks, &bad), "");
    CHECK_TEXT(suspects(marks, &moved), "");
    marks_destroy(&marks);
}

TEST(amiss_in_another_way_is_amiss_still)
{
    UNUSED;
    const struct pass twice = { { "a/s.x 0" }, { "a/s.x 0" }, { "a/s.x 0" } };
    const struct pass unheld = { { "a/s.x 0" }, { NULL }, { NULL } };
    const struct pass stray = { { NULL }, { NULL }, { "a/s.x 0", "a/s.x 0" } };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    CHECK_TEXT(suspects(marks, &twice), "");
    CHECK_TEXT(suspects(marks, &unheld), "a/s.x 0:0 ");
    CHECK_TEXT(suspects(marks, &stray), "a/s.x 0:1 ");
    CHECK_TEXT(suspects(marks, &twice), "a/s.x 0:2 ");
    marks_destroy(&marks);
}

TEST(a_pass_that_was_given_up_leaves_nothing)
{
    UNUSED;
    const struct pass unheld = { { "a/s.x 0" }, { NULL }, { NULL } };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    suspects(marks, &unheld);
    marks_begin(marks);
    CHECK_INT(marks_stage(marks, SLICE("b/s.x 0")), 0);
    CHECK_TEXT(suspects(marks, &unheld), "a/s.x 0:0 ");
    marks_destroy(&marks);
}

enum { STAGES = 5000, EVERY = 10 };

/* Stages 0..: every tenth is held by none, every tenth plus one twice. Answers the walks it took.
 */
static int walk_many(marks_t *marks, int *ret_unheld, int *ret_twice)
{
    int walks = 0;
    struct suspect suspect;
    *ret_unheld = *ret_twice = 0;
    marks_begin(marks);
    do {
        char text[32];
        for (int i = 0; i < STAGES; i++) {
            snprintf(text, sizeof text, "task%d/s.x 0", i);
            CHECK_INT(marks_stage(marks, slice_of(text)), 0);
        }
        for (int i = 0; i < STAGES; i++) {
            snprintf(text, sizeof text, "task%d/s.x 0", i);
            for (int n = i % EVERY == 0 ? 0 : i % EVERY == 1 ? 2 : 1; n > 0; n--)
                CHECK_INT(marks_holder(marks, slice_of(text), true), 0);
        }
        while (marks_suspect(marks, &suspect)) {
            *ret_unheld += suspect.seen == SEEN_UNHELD;
            *ret_twice += suspect.seen == SEEN_TWICE;
        }
        walks++;
    } while (marks_more(marks));
    return walks;
}

/* Whatever the bound, the same are found; a small one takes more walks. */
TEST(more_than_it_can_remember_is_walked_in_parts)
{
    UNUSED;
    static const struct {
        size_t max;
        int least, most;
    } rows[] = { { MARKS_MAX, 1, 1 }, { STAGES, 1, 1 }, { 1000, 8, 16 }, { 100, 64, 256 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        marks_t *marks = marks_new(rows[i].max, 1);
        int unheld, twice;
        const int walks = walk_many(marks, &unheld, &twice);
        assert_in_range(walks, rows[i].least, rows[i].most);
        CHECK_INT(unheld + twice, 0);
        CHECK_INT(walk_many(marks, &unheld, &twice), walks);
        CHECK_INT(unheld, STAGES / EVERY);
        CHECK_INT(twice, STAGES / EVERY);
        marks_destroy(&marks);
    }
}

static size_t count_unheld(marks_t *marks, unsigned stages)
{
    struct suspect suspect;
    size_t count = 0;
    marks_begin(marks);
    for (unsigned i = 0; i < stages; i++) {
        char text[32];
        snprintf(text, sizeof text, "%u", i);
        CHECK_INT(marks_stage(marks, slice_of(text)), 0);
    }
    while (marks_suspect(marks, &suspect))
        count++;
    CHECK(!marks_more(marks));
    return count;
}

TEST(suspects_have_a_bound)
{
    UNUSED;
    marks_t *marks = marks_new(MARKS_MAX, 1);
    CHECK_INT(count_unheld(marks, MARKS_SUSPECTS_MAX + 1), 0);
    CHECK_INT(count_unheld(marks, MARKS_SUSPECTS_MAX - 1), MARKS_SUSPECTS_MAX - 1);
    CHECK_INT(count_unheld(marks, MARKS_SUSPECTS_MAX + 1), MARKS_SUSPECTS_MAX - 1);
    CHECK_INT(count_unheld(marks, MARKS_SUSPECTS_MAX + 1), MARKS_SUSPECTS_MAX);
    marks_destroy(&marks);
}

TEST(what_is_amiss_has_a_bound_and_all_have_their_turn)
{
    UNUSED;
    enum { ALL = 2 * MARKS_AMISS_MAX };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    size_t last = 0, least = ALL;
    for (int pass = 0; pass < 8; pass++) {
        count_unheld(marks, ALL);
        /* the first of them are among those noted only now and then */
        last = count_unheld(marks, 64);
        least = last < least ? last : least;
    }
    CHECK(least < 64);
    marks_destroy(&marks);
}

TEST(pages_overlap_by_what_came_before_them)
{
    UNUSED;
    const uint64_t before[] = { 1, 2, 3, 4 };
    const uint64_t shifted[] = { 3, 4, 5, 6 }, apart[] = { 5, 6, 7, 8 }, double_[] = { 5, 4, 6 };
    CHECK_INT(marks_overlap(before, 4, shifted, 4), 2);
    CHECK_INT(marks_overlap(before, 4, apart, 4), 0);
    CHECK_INT(marks_overlap(before, 4, double_, 3), 0); /* 4 is there again, and no overlap */
    CHECK_INT(marks_overlap(before, 4, before, 4), 4);
    CHECK_INT(marks_overlap(before, 4, before + 3, 1), 1);
    CHECK_INT(marks_overlap(before, 0, before, 4), 0);
    CHECK_INT(marks_overlap(before, 4, before, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(what_one_holds_is_fine),
        HOLDS(nothing_is_fine),
        HOLDS(a_suspect_was_amiss_twice_in_a_row),
        HOLDS(amiss_in_another_way_is_amiss_still),
        HOLDS(a_pass_that_was_given_up_leaves_nothing),
        HOLDS(more_than_it_can_remember_is_walked_in_parts),
        HOLDS(suspects_have_a_bound),
        HOLDS(what_is_amiss_has_a_bound_and_all_have_their_turn),
        HOLDS(pages_overlap_by_what_came_before_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
