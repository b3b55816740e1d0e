#include "tests/unit/test.h"

#include "common/status.h"
#include "services/state/audit_walk.h"

#include <stdio.h>
#include <stdlib.h>

/* Replies as Redis would give them: "i5" is a number, all else a text. */
enum { MOST = 2 * WALK_PAGE };

static redisReply elements[MOST], *pointers[MOST], answer;

static void put(size_t index, const char *text)
{
    redisReply *element = &elements[index];
    *element = (redisReply){ .type = REDIS_REPLY_STRING, .len = strlen(text) };
    element->str = strdup(text);
    if (*text == 'i')
        *element = (redisReply){ .type = REDIS_REPLY_INTEGER,
                                 .integer = strtoll(text + 1, NULL, 10),
                                 .str = element->str };
    pointers[index] = element;
}

static const redisReply *array(size_t count)
{
    answer = (redisReply){ .type = REDIS_REPLY_ARRAY, .elements = count, .element = pointers };
    return &answer;
}

static int take(struct walk *walk, const char *const *texts)
{
    size_t count = 0;
    for (; texts[count]; count++)
        put(count, texts[count]);
    int r = walk_take(walk, array(count));
    for (size_t i = 0; i < count; i++)
        free(elements[i].str);
    return r;
}
#define TAKE(walk, ...) take((walk), (const char *const[]){ __VA_ARGS__, NULL })
#define TAKE_NONE(walk) take((walk), (const char *const[]){ NULL })

TEST(a_walk_goes_from_stages_to_all_that_holds_them)
{
    UNUSED;
    marks_t *marks = marks_new(MARKS_MAX, 1);
    struct walk walk = { 0 };
    struct suspect suspect;
    int found[3] = { 0 };
    for (int pass = 0; pass < 2; pass++) {
        marks_begin(marks);
        walk_begin(&walk, marks);
        CHECK_INT(TAKE(&walk, "17", "i4", "a/s.x", "i0", "i0", "b/s.x", "i1", "i2"), 0);
        CHECK_INT(walk.step, WALK_STAGES);
        CHECK_TEXT(walk.cursor, "17");
        CHECK_INT(TAKE(&walk, "0", "i3", "c/s.x", "i0", "i1", "d/s.x", "i0", "i0"), 0);
        CHECK_INT(walk.step, WALK_SESSIONS);
        CHECK_INT(walk.looked, 7);
        CHECK_INT(TAKE(&walk, "0123456789abcdef0123456789abcdef", "nobody",
                       "ffffffffffffffffffffffffffffffff"),
                  0);
        CHECK_INT(walk.step, WALK_HELD);
        CHECK_INT(walk.names_count, 2);
        CHECK_INT(TAKE(&walk, "5", "a/s.x", "i0"), 0);
        CHECK_INT(walk.at, 0);
        CHECK_INT(TAKE(&walk, "0", "over/s.x", "i0"), 0);
        CHECK_INT(walk.at, 1);
        CHECK_INT(TAKE(&walk, "0"), 0);
        CHECK_INT(walk.step, WALK_TIMERS);
        CHECK_INT(TAKE(&walk, "0", "b/s.x 2", "rubbish", "a/b c/d 1", "b/s.x 0", "b/s.x 02",
                       "b/s.x ", "b/s.x 1x"),
                  0);
        CHECK_INT(walk.step, WALK_QUEUES);
        CHECK_INT(TAKE(&walk, "s", "../.."), 0);
        CHECK_INT(walk.step, WALK_QUEUE);
        CHECK_INT(TAKE(&walk, "i3", "d/s.x", "rubbish", "d/s.x"), 0);
        CHECK_INT(walk.priority, 1);
        CHECK_INT(TAKE(&walk, "i0"), 0);
        CHECK_INT(TAKE(&walk, "i0"), 0);
        CHECK_INT(walk.step, WALK_OVER);
        while (marks_suspect(marks, &suspect)) {
            const char *should = suspect.seen == SEEN_UNHELD  ? "c/s.x 1"
                                 : suspect.seen == SEEN_STRAY ? "over/s.x"
                                                              : "d/s.x";
            CHECK_SLICE(suspect.text, should);
            found[suspect.seen]++;
        }
        CHECK(!marks_more(marks));
        walk_clear(&walk);
    }
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(found[i], 1);
    marks_destroy(&marks);
}

TEST(without_sessions_and_queues_it_is_over_soon)
{
    UNUSED;
    marks_t *marks = marks_new(MARKS_MAX, 1);
    struct walk walk = { 0 };
    walk_begin(&walk, marks);
    CHECK_INT(TAKE(&walk, "0", "i0"), 0);
    CHECK_INT(TAKE_NONE(&walk), 0);
    CHECK_INT(walk.step, WALK_TIMERS);
    CHECK_INT(TAKE(&walk, "0"), 0);
    CHECK_INT(TAKE_NONE(&walk), 0);
    CHECK_INT(walk.step, WALK_OVER);
    walk_clear(&walk);
    marks_destroy(&marks);
}

/* New entries push what was looked at into the next slice. */
TEST(a_queue_that_grows_meanwhile_has_nothing_twice)
{
    UNUSED;
    enum { SHIFT = 10 };
    marks_t *marks = marks_new(MARKS_MAX, 1);
    struct walk walk = { .marks = marks, .step = WALK_QUEUE };
    struct suspect suspect;
    walk_name *names = calloc(1, sizeof *names);
    snprintf(names[0], sizeof names[0], "s");
    for (int pass = 0; pass < 2; pass++) {
        char text[32];
        marks_begin(marks);
        walk.names = names;
        walk.names_count = 1;
        walk.at = walk.priority = 0;
        walk.start = walk.page_count = 0;
        walk.step = WALK_QUEUE;
        for (int i = 0; i < 2 * WALK_PAGE; i++) {
            snprintf(text, sizeof text, "t%d/s.x", i);
            CHECK_INT(marks_stage(marks, slice_of(text)), 0);
        }
        for (int page = 0; page < 2; page++) {
            put(0, "i2000");
            for (int i = 0; i < WALK_PAGE; i++) {
                snprintf(text, sizeof text, "t%d/s.x", page * (WALK_PAGE - SHIFT) + i);
                put((size_t)i + 1, text);
            }
            CHECK_INT(walk_take(&walk, array(WALK_PAGE + 1)), 0);
            for (size_t i = 0; i <= WALK_PAGE; i++)
                free(elements[i].str);
            CHECK_INT(walk.start, (page + 1) * WALK_PAGE);
        }
        int unheld = 0;
        while (marks_suspect(marks, &suspect)) {
            CHECK_INT(suspect.seen, SEEN_UNHELD); /* those behind the second slice */
            unheld++;
        }
        CHECK_INT(unheld, pass ? SHIFT : 0);
        CHECK(!marks_more(marks));
    }
    walk_clear(&walk);
    marks_destroy(&marks);
}

TEST(answers_of_another_shape_end_it)
{
    UNUSED;
    marks_t *marks = marks_new(MARKS_MAX, 1);
    struct walk walk = { 0 };
    redisReply number = { .type = REDIS_REPLY_INTEGER, .integer = 1 };
    static const enum walk_step steps[] = { WALK_STAGES, WALK_SESSIONS, WALK_HELD,
                                            WALK_TIMERS, WALK_QUEUES,   WALK_QUEUE };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        walk_begin(&walk, marks);
        walk.step = steps[i];
        CHECK_INT(walk_take(&walk, &number), STATUS_INTERNAL);
        CHECK_INT(walk_take(&walk, NULL), STATUS_INTERNAL);
    }
    walk.step = WALK_STAGES;
    CHECK_INT(TAKE(&walk, "0"), STATUS_INTERNAL);
    CHECK_INT(TAKE(&walk, "0", "i1", "a/s.x", "i0"), STATUS_INTERNAL);
    walk.step = WALK_HELD;
    CHECK_INT(TAKE(&walk, "0", "a/s.x"), STATUS_INTERNAL);
    walk_clear(&walk);
    marks_destroy(&marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_walk_goes_from_stages_to_all_that_holds_them),
        HOLDS(without_sessions_and_queues_it_is_over_soon),
        HOLDS(a_queue_that_grows_meanwhile_has_nothing_twice),
        HOLDS(answers_of_another_shape_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
