#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/test.h"

enum { SIGNALS_BEFORE_READING = 3 };

static int ends[2]; /* of a pipe */
static volatile sig_atomic_t signals;

/* The pipe is full until a few signals have interrupted who writes into it. */
static void on_alarm(int number)
{
    (void)number;
    char bytes[4096];
    if (++signals >= SIGNALS_BEFORE_READING)
        (void)!read(ends[0], bytes, sizeof bytes);
}

static void interrupt_every_ms(suseconds_t ms)
{
    const struct sigaction action = { .sa_handler = on_alarm }; /* no SA_RESTART */
    const struct itimerval every = { { 0, ms * 1000 }, { 0, ms * 1000 } };
    CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_INT(setitimer(ITIMER_REAL, &every, NULL), 0);
}

TEST(all_is_written_whatever_interrupts)
{
    UNUSED;
    static char bytes[1 << 18]; /* more than the pipe holds */
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
    memset(bytes, 'x', sizeof bytes);
    interrupt_every_ms(1);
    CHECK_INT(file_write(ends[1], slice_make(bytes, sizeof bytes)), 0);
    interrupt_every_ms(0);
    CHECK(signals >= SIGNALS_BEFORE_READING);
    CHECK_INT(close(ends[0]) | close(ends[1]), 0);
}

TEST(what_was_written_is_what_was_given)
{
    UNUSED;
    char text[8] = "";
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    CHECK_INT(file_write(ends[1], SLICE("a\0b")), 0);
    CHECK_INT(file_write(ends[1], (struct slice){ NULL, 0 }), 0);
    CHECK_INT(read(ends[0], text, sizeof text), 3);
    CHECK(slice_equal(slice_make(text, 3), SLICE("a\0b")));
    CHECK_INT(close(ends[0]) | close(ends[1]), 0);
}

TEST(what_cannot_be_written_is_said)
{
    UNUSED;
    CHECK_INT(file_write(-1, SLICE("x")), -EBADF);
    CHECK_INT(file_write(-1, (struct slice){ NULL, 0 }), 0);
    CHECK_INT(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_INT(close(ends[0]), 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_INT(file_write(ends[1], SLICE("x")), -EPIPE);
    CHECK_INT(close(ends[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(all_is_written_whatever_interrupts),
        HOLDS(what_was_written_is_what_was_given),
        HOLDS(what_cannot_be_written_is_said),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
