#include "services/worker/exec_report.h"

#include "tests/unit/test.h"

static struct exec_report read_all(const char *text)
{
    struct exec_report report = { 0 };
    exec_report_read(&report, slice_of(text));
    return report;
}

TEST(a_whole_report_is_read)
{
    UNUSED;
    struct exec_report r = read_all("started 77\nended 3 0 120 45 1658880 stopped\n");
    CHECK(r.started && r.ended);
    CHECK_INT(r.pid, 77);
    CHECK_INT(r.exit_code, 3);
    CHECK_INT(r.signal, 0);
    CHECK_INT(r.user_ms, 120);
    CHECK_INT(r.system_ms, 45);
    CHECK_INT(r.rss_bytes, 1658880);
    CHECK_INT(r.end, EXEC_STOPPED);
    CHECK_INT(r.failure, 0);
}

TEST(it_may_come_byte_by_byte)
{
    UNUSED;
    static const char text[] = "started 5\nended 0 9 1 2 3 deadline\n";
    struct exec_report r = { 0 };
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        CHECK(!r.ended);
        exec_report_read(&r, slice_make(text + i, 1));
    }
    CHECK(r.ended);
    CHECK_INT(r.signal, 9);
    CHECK_INT(r.end, EXEC_DEADLINE);
}

TEST(a_command_that_could_not_be_run_has_an_errno)
{
    UNUSED;
    struct exec_report r = read_all("started 5\nfailed 2\n");
    CHECK(r.ended);
    CHECK_INT(r.failure, 2);
}

TEST(lines_that_are_none_are_no_end)
{
    UNUSED;
    static const char *const lines[] = {
        "",
        "\n",
        "ended\n",
        "ended 1 2 3\n",
        "ended 1 2 3 4 5\n",
        "ended 1 2 3 4 5 \n",
        "ended 1 2 3 4 5 because\n",
        "ended 1 2 3 4 5 itself it was\n",
        "ended -1 2 3 4 5 itself\n",
        "ended 1 2 3 4 99999999999999999999 itself\n",
        "ended 1x 2 3 4 5 itself\n",
        "failed 0\n",
        "failed\n",
        "ended 1 2 3 4 5 itself", /* not yet */
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        CHECK(!read_all(lines[i]).ended);
}

TEST(an_endless_line_is_bounded)
{
    UNUSED;
    struct exec_report r = { 0 };
    for (int i = 0; i < 10000; i++)
        exec_report_read(&r, SLICE("xxxxxxxx"));
    exec_report_read(&r, SLICE("\nstarted 5\n"));
    CHECK_INT(r.pid, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_whole_report_is_read),
        HOLDS(it_may_come_byte_by_byte),
        HOLDS(a_command_that_could_not_be_run_has_an_errno),
        HOLDS(lines_that_are_none_are_no_end),
        HOLDS(an_endless_line_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
