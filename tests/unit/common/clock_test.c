#include "common/clock.h"

#include "tests/unit/test.h"

TEST(time_never_runs_backwards)
{
    UNUSED;
    int64_t last_ns = clock_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns = clock_ns();
        CHECK(now_ns >= last_ns);
        last_ns = now_ns;
    }
    CHECK(clock_ms() >= last_ns / 1000000);
}

TEST(the_wall_clock_is_this_century)
{
    UNUSED;
    CHECK(clock_wall_ms() > 1577836800000); /* 2020 */
    CHECK(clock_wall_ms() < 4102444800000); /* 2100 */
}

TEST(a_time_is_written_in_utc_with_milliseconds)
{
    UNUSED;
    char text[CLOCK_TEXT];
    CHECK_TEXT(clock_text(0, text), "1970-01-01T00:00:00.000Z");
    CHECK_TEXT(clock_text(1769846400123, text), "2026-01-31T08:00:00.123Z");
    CHECK_TEXT(clock_text(951782399007, text), "2000-02-28T23:59:59.007Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(time_never_runs_backwards),
        HOLDS(the_wall_clock_is_this_century),
        HOLDS(a_time_is_written_in_utc_with_milliseconds),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
