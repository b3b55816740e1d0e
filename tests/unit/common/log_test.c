#include "common/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/status.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

/* What the calls between start and stop wrote to stderr. */
static int saved = -1;

static void capture_start(void)
{
    int fd = open("stderr", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    saved = dup(STDERR_FILENO);
    CHECK(fd >= 0 && saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    (void)close(fd);
}

static char *capture_stop(void)
{
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    return scratch_read("stderr");
}

/* The one line, less its time, which is 24 bytes and a blank. */
#define CHECK_LINE(call, should)            \
    do {                                    \
        capture_start();                    \
        call;                               \
        char *line = capture_stop();        \
        CHECK(strlen(line) > 25);           \
        CHECK_TEXT(line + 25, should "\n"); \
        free(line);                         \
    } while (0)

#define CHECK_SILENT(call)           \
    do {                             \
        capture_start();             \
        call;                        \
        char *line = capture_stop(); \
        CHECK_TEXT(line, "");        \
        free(line);                  \
    } while (0)

static int begin(void **state)
{
    (void)state;
    return log_setup("gantry-test", "info");
}

TEST(a_line_is_time_level_program_event_pairs)
{
    UNUSED;
    CHECK_LINE(log_event(LOG_LEVEL_WARN, "refused", "peer=%s count=%d", "7f2a", 3),
               "warn gantry-test refused peer=7f2a count=3");
    CHECK_LINE(log_event(LOG_LEVEL_ERROR, "gone", "%s", ""), "error gantry-test gone \"\"");
    const char *nothing = "";
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "ready", "%.*s", 0, nothing),
               "info gantry-test ready \"\"");
}

TEST(numbers_of_every_kind_are_written)
{
    UNUSED;
    CHECK_LINE(
        log_event(LOG_LEVEL_INFO, "n", "a=%" PRId64 " b=%zu c=%u d=%ld", INT64_MIN, SIZE_MAX,
                  4294967295u, -1L),
        "info gantry-test n a=-9223372036854775808 b=18446744073709551615 c=4294967295 d=-1");
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "n", "a=%016" PRIx64 " b=%x c=%03d d=%.1f e=100%%",
                         (uint64_t)0xabc, 255u, 7, 2.25),
               "info gantry-test n a=0000000000000abc b=ff c=007 d=2.2 e=100%");
}

TEST(bytes_of_a_peer_cannot_forge_a_line_or_a_pair)
{
    UNUSED;
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%s q=%s", "a\n2026 error forged", "b"),
               "info gantry-test x p=\"a\\n2026 error forged\" q=b");
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%s", "a status=OK"),
               "info gantry-test x p=\"a status=OK\"");
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%s", "a\" status=OK \\"),
               "info gantry-test x p=\"a\\\" status=OK \\\\\"");
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%s", "\x1b[2J\t\r\x7f\xff"),
               "info gantry-test x p=\"\\x1b[2J\\t\\r\\x7f\\xff\"");
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%s", "k=v"), "info gantry-test x p=\"k=v\"");
}

TEST(a_text_without_an_end_is_read_to_its_length_only)
{
    UNUSED;
    const char bytes[] = { 'a', 'b', 'c' };
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%.*s", 2, bytes), "info gantry-test x p=ab");
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%.3s", bytes), "info gantry-test x p=abc");
}

TEST(a_long_line_is_cut_and_says_so)
{
    UNUSED;
    char text[5000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *const values[] = { text, "x y" };
    for (int quoted = 0; quoted < 2; quoted++) {
        text[0] = quoted ? ' ' : 'a';
        capture_start();
        log_event(LOG_LEVEL_INFO, "x", "p=%s q=%s", values[0], values[1]);
        char *line = capture_stop();
        size_t size = strlen(line);
        CHECK(size <= 1024);
        CHECK_TEXT(line + size - 4, "...\n");
        CHECK(strchr(line, '\n') == line + size - 1);
        free(line);
    }
}

TEST(what_is_below_the_level_is_silent)
{
    UNUSED;
    CHECK_SILENT(log_event(LOG_LEVEL_DEBUG, "x", "p=%d", 1));
    CHECK_INT(log_setup("gantry-test", "error"), 0);
    CHECK_SILENT(log_event(LOG_LEVEL_WARN, "x", "p=%d", 1));
    CHECK_SILENT(log_event_seldom(LOG_LEVEL_WARN, "x", "p=%d", 1));
    CHECK_INT(log_setup("gantry-test", "debug"), 0);
    CHECK_LINE(log_event(LOG_LEVEL_DEBUG, "x", "p=%d", 1), "debug gantry-test x p=1");
}

TEST(a_level_that_is_none_is_refused_and_changes_nothing)
{
    UNUSED;
    CHECK_INT(log_setup("other", "INFO"), STATUS_INVALID);
    CHECK_INT(log_setup("other", ""), STATUS_INVALID);
    CHECK_LINE(log_event(LOG_LEVEL_INFO, "x", "p=%d", 1), "info gantry-test x p=1");
}

TEST(a_seldom_event_is_said_once_a_second_and_counted)
{
    UNUSED;
    CHECK_LINE(log_event_seldom(LOG_LEVEL_INFO, "often", "n=%d", 1), "info gantry-test often n=1");
    CHECK_SILENT(for (int i = 0; i < 5; i++) log_event_seldom(LOG_LEVEL_INFO, "often", "n=%d", i));
    CHECK_LINE(log_event_seldom(LOG_LEVEL_INFO, "other", "n=%d", 1), "info gantry-test other n=1");
    (void)usleep(1010000);
    CHECK_LINE(log_event_seldom(LOG_LEVEL_INFO, "often", "n=%d", 9),
               "info gantry-test often suppressed=5 n=9");
}

TEST(more_seldom_events_than_there_are_rows_are_all_said)
{
    UNUSED;
    static char names[64][8];
    for (int i = 0; i < 64; i++) {
        (void)snprintf(names[i], sizeof names[i], "e%d", i);
        capture_start();
        log_event_seldom(LOG_LEVEL_INFO, names[i], "n=%d", i);
        char *line = capture_stop();
        CHECK(strstr(line, names[i]));
        free(line);
    }
}

int main(void)
{
    scratch_enter("log_test.d");
    const struct CMUnitTest tests[] = {
#define HOLDS_INFO(function) cmocka_unit_test_setup(function##_holds, begin)
        HOLDS_INFO(a_line_is_time_level_program_event_pairs),
        HOLDS_INFO(numbers_of_every_kind_are_written),
        HOLDS_INFO(bytes_of_a_peer_cannot_forge_a_line_or_a_pair),
        HOLDS_INFO(a_text_without_an_end_is_read_to_its_length_only),
        HOLDS_INFO(a_long_line_is_cut_and_says_so),
        HOLDS_INFO(what_is_below_the_level_is_silent),
        HOLDS_INFO(a_level_that_is_none_is_refused_and_changes_nothing),
        HOLDS_INFO(a_seldom_event_is_said_once_a_second_and_counted),
        HOLDS_INFO(more_seldom_events_than_there_are_rows_are_all_said),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
