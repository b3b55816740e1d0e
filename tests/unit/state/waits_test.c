#include "tests/unit/test.h"

#include "common/status.h"
#include "services/state/waits.h"

#include <stdio.h>

static unsigned seen;
static wait_t *last;

static void count(void *arg, wait_t *wait)
{
    (void)arg;
    seen++;
    last = wait;
}

static void take(void *arg, wait_t *wait)
{
    seen++;
    waits_remove(arg, wait);
}

static unsigned found(waits_t *waits, const char *id)
{
    seen = 0;
    waits_find(waits, slice_of(id), count, NULL);
    return seen;
}

static unsigned expired(waits_t *waits, int64_t now_ms)
{
    seen = 0;
    waits_tick(waits, now_ms, take, waits);
    return seen;
}

TEST(a_wait_is_found_by_its_task_until_it_is_removed)
{
    UNUSED;
    waits_t *waits = waits_new(8);
    int mine = 0;
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE("x.y"), 1000, &mine), 0);
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE(""), 1000, NULL), 0);
    CHECK_INT(waits_park(waits, SLICE("b"), SLICE(""), 1000, NULL), 0);

    CHECK_INT(found(waits, "a"), 2);
    CHECK_INT(found(waits, "c"), 0);
    CHECK_INT(found(waits, "b"), 1);
    CHECK_SLICE(wait_id(last), "b");
    CHECK_INT(wait_task(last).size, 0);
    CHECK_INT(*wait_note(last), 0);
    waits_find(waits, SLICE("a"), take, waits);
    CHECK_INT(found(waits, "a"), 0);
    CHECK_INT(waits_count(waits), 1);
    seen = 0;
    waits_each(waits, take, waits);
    CHECK_INT(seen, 1);
    waits_destroy(&waits);
}

TEST(a_wait_ends_when_its_time_is_over)
{
    UNUSED;
    const int64_t start = 1700000000123;
    waits_t *waits = waits_new(8);
    CHECK_INT(expired(waits, start), 0);
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE(""), start + 100, NULL), 0);
    CHECK_INT(waits_park(waits, SLICE("b"), SLICE(""), start + 60000, NULL), 0);
    CHECK_INT(waits_park(waits, SLICE("c"), SLICE(""), start, NULL), 0);

    CHECK_INT(expired(waits, start), 1);
    CHECK_INT(expired(waits, start + 99), 0);
    CHECK_INT(expired(waits, start + 100), 1);
    CHECK_INT(expired(waits, start + 59999), 0);
    CHECK_INT(expired(waits, start + 200000), 1);
    CHECK_INT(waits_count(waits), 0);
    waits_destroy(&waits);
}

TEST(there_are_never_more_than_the_bound)
{
    UNUSED;
    waits_t *waits = waits_new(2);
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE(""), 1, NULL), 0);
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE(""), 1, NULL), 0);
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE(""), 1, NULL), STATUS_BUSY);
    CHECK_INT(expired(waits, 1), 2);
    CHECK_INT(waits_park(waits, SLICE("a"), SLICE(""), 1, NULL), 0);
    char id[200];
    memset(id, 'a', sizeof id);
    CHECK_INT(waits_park(waits, slice_make(id, 129), SLICE(""), 1, NULL), STATUS_INVALID);
    waits_destroy(&waits);
}

/* Against a plain array, over many random steps. */
TEST(many_waits_agree_with_a_model)
{
    UNUSED;
    enum { IDS = 50, MOST = 400, STEPS = 20000 };
    struct {
        int id;
        int64_t due;
    } model[MOST];
    unsigned alive = 0, dice = 1;
    int64_t now = 5;
    char id[16];
    waits_t *waits = waits_new(MOST);
    for (int step = 0; step < STEPS; step++) {
        dice = dice * 1103515245 + 12345;
        const unsigned roll = dice >> 16;
        if (roll % 4 != 0 && alive < MOST) {
            model[alive].id = (int)(roll % IDS);
            model[alive].due = now + 1 + (int64_t)(roll % 9973) * 6;
            snprintf(id, sizeof id, "t%d", model[alive].id);
            CHECK_INT(waits_park(waits, slice_of(id), SLICE(""), model[alive].due, NULL), 0);
            alive++;
            continue;
        }
        now += roll % 700;
        unsigned due = 0;
        for (unsigned i = 0; i < alive;) {
            if (model[i].due > now) {
                i++;
                continue;
            }
            model[i] = model[--alive];
            due++;
        }
        CHECK_INT(expired(waits, now), due);
        CHECK_INT(waits_count(waits), alive);
    }
    waits_destroy(&waits);
}

TEST(a_wait_without_an_id_is_found_by_none_but_no_id)
{
    UNUSED;
    const struct slice none = { 0 };
    waits_t *waits = waits_new(8);
    CHECK_INT(waits_park(waits, none, SLICE("x"), 1000, NULL), 0);
    CHECK_INT(waits_park(waits, none, none, 1000, NULL), 0);
    CHECK_INT(waits_park(waits, SLICE("a"), none, 1000, NULL), 0);
    CHECK_INT(found(waits, ""), 2);
    CHECK_INT(found(waits, "a"), 1);
    waits_find(waits, none, take, waits);
    CHECK_INT(waits_count(waits), 1);
    CHECK_INT(found(waits, ""), 0);
    waits_destroy(&waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_wait_without_an_id_is_found_by_none_but_no_id),
        HOLDS(a_wait_is_found_by_its_task_until_it_is_removed),
        HOLDS(a_wait_ends_when_its_time_is_over),
        HOLDS(there_are_never_more_than_the_bound),
        HOLDS(many_waits_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
