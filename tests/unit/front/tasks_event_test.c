#include "services/front/tasks_event.h"

#include "common/scoped.h"
#include "tests/unit/test.h"

TEST(an_update_has_its_number)
{
    UNUSED;
    const struct m_update update = {
        .seq = 7, .id = SLICE("t1"), .task = SLICE("a.b"), .state = SLICE("quarantined"), .at_ms = 1
    };
    scoped_text char *text = event_update(&update);
    CHECK_TEXT(text, "id: 7\nevent: update\ndata: {\"task_name\":\"a.b\",\"state\":\"quarantined\","
                     "\"status\":\"failed\",\"at\":\"1970-01-01T00:00:00.001Z\"}\n\n");
}

TEST(progress_and_the_end_have_none)
{
    UNUSED;
    const struct gantry_stage stage = { .task = "a.b", .progress = 0.5 };
    scoped_text char *progress = event_progress(&stage);
    scoped_text char *end = event_end("t1", "completed");
    CHECK_TEXT(progress, "event: progress\ndata: {\"task_name\":\"a.b\",\"progress\":0.5}\n\n");
    CHECK_TEXT(end, "event: end\ndata: {\"task_id\":\"t1\",\"status\":\"completed\"}\n\n");
}

static void check_number(const char *text, bool should, uint64_t number)
{
    uint64_t read = 99;
    CHECK_INT(event_number(text, &read), should);
    CHECK_INT(read, should ? number : 99);
}

TEST(a_number_is_digits)
{
    UNUSED;
    check_number(NULL, true, 0);
    check_number("", true, 0);
    check_number("0", true, 0);
    check_number("00042", true, 42);
    check_number("9223372036854775807", true, INT64_MAX);
    check_number("9223372036854775808", false, 0);
    check_number("99999999999999999999999", false, 0);
    check_number("-1", false, 0);
    check_number("1 ", false, 0);
    check_number("x", false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(an_update_has_its_number),
        HOLDS(progress_and_the_end_have_none),
        HOLDS(a_number_is_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
