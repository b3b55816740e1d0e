#include "tests/unit/test.h"

#include "common/scoped.h"
#include "services/state/depths.h"

#include <errno.h>
#include <stdio.h>

TEST(a_queue_has_a_limit_of_its_own_or_that_of_all)
{
    UNUSED;
    scoped(depths) depths = NULL;
    struct slice wrong = { 0 };
    CHECK_INT(depths_new("ffmpeg=1000, system=1000000000,", 7, &depths, &wrong), 0);
    CHECK_INT(depths_of(depths, SLICE("ffmpeg")), 1000);
    CHECK_INT(depths_of(depths, SLICE("system")), 1000000000);
    CHECK_INT(depths_of(depths, SLICE("ffmpe")), 7);
    CHECK_INT(depths_of(depths, SLICE("")), 7);

    scoped(depths) none = NULL;
    CHECK_INT(depths_new("", 9, &none, &wrong), 0);
    CHECK_INT(depths_of(none, SLICE("ffmpeg")), 9);
}

TEST(what_is_no_limit_is_named)
{
    UNUSED;
    static const struct {
        const char *text, *wrong;
    } rows[] = {
        { "a=1,b", "b" },     { "=5", "=5" },
        { "a=", "a=" },       { "a=0", "a=0" },
        { "a=1,a=2", "a=2" }, { "a=1000000001", "a=1000000001" },
        { "a=-1", "a=-1" },   { "a=99999999999999999999999", "a=99999999999999999999999" },
        { "Big=1", "Big=1" }, { "a=1x", "a=1x" },
        { "a==1", "a==1" },   { "a=1;b=2", "a=1;b=2" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scoped(depths) depths = NULL;
        struct slice wrong = { 0 };
        CHECK_INT(depths_new(rows[i].text, 7, &depths, &wrong), -EINVAL);
        CHECK_SLICE(wrong, rows[i].wrong);
        CHECK(depths == NULL);
    }
}

TEST(only_so_many_queues_have_one)
{
    UNUSED;
    char text[DEPTHS_MAX * 16 + 64];
    size_t size = 0;
    scoped(depths) depths = NULL;
    struct slice wrong = { 0 };
    for (int i = 0; i < DEPTHS_MAX; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "q%d=1,", i);
    CHECK_INT(depths_new(text, 7, &depths, &wrong), 0);
    snprintf(text + size, sizeof text - size, "more=1");
    scoped(depths) more = NULL;
    CHECK_INT(depths_new(text, 7, &more, &wrong), -EINVAL);
    CHECK_SLICE(wrong, "more=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_queue_has_a_limit_of_its_own_or_that_of_all),
        HOLDS(what_is_no_limit_is_named),
        HOLDS(only_so_many_queues_have_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
