#include "tests/instructions/count.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

enum { FLAGS_MAX = 32 };

static bool counting;
static uint64_t socket_calls;
static int64_t ahead_ms;
static void (*the_script)(void);
void (*count_elsewhere)(const char *what);
static uv_loop_t *the_loop;

void count_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(1);
}

void count_on(void)
{
    counting = true;
    allocs_on = !RUNNING_ON_VALGRIND;
    CALLGRIND_TOGGLE_COLLECT;
}

void count_off(void)
{
    CALLGRIND_TOGGLE_COLLECT;
    allocs_on = false;
    counting = false;
}

bool count_pause(void)
{
    bool was_on = counting;
    if (was_on)
        count_off();
    return was_on;
}

void count_resume(bool was_on)
{
    if (was_on)
        count_on();
}

void count_socket_call(void)
{
    socket_calls++;
}

/* ---- phases ---- */

void phase_begin(void)
{
    if (count_elsewhere)
        count_elsewhere("zero");
    socket_calls = 0;
    if (!RUNNING_ON_VALGRIND)
        allocs_begin();
    CALLGRIND_ZERO_STATS;
}

void phase_end(const char *name, unsigned tasks)
{
    CALLGRIND_DUMP_STATS_AT(name);
    if (count_elsewhere)
        count_elsewhere(name);
    (void)printf("phase %s %u %llu\n", name, tasks, (unsigned long long)socket_calls);
    if (!RUNNING_ON_VALGRIND)
        allocs_print(name);
    (void)fflush(stdout);
}

/* ---- the program ---- */

/* Linked instead of libuv's: the program's own main comes here when it has started. */
__attribute__((visibility("default"))) int uv_run(uv_loop_t *loop, uv_run_mode mode)
{
    (void)mode;
    the_loop = loop;
    the_script();
    _exit(0); /* all is said; how it ends is not of interest */
}

static int run_once(uv_loop_t *loop)
{
    static int (*run)(uv_loop_t *, uv_run_mode);
    if (!run)
        *(void **)&run = dlsym(RTLD_NEXT, "uv_run");
    return run(loop, UV_RUN_NOWAIT);
}

void turn(void)
{
    static bool resolved;
    if (!resolved)
        run_once(the_loop);
    resolved = true;
    count_on();
    run_once(the_loop);
    count_off();
}

void count_program(const struct program_row *row, const char *const *flags, void (*script)(void))
{
    char *argv[FLAGS_MAX] = { strdup(row->name) };
    int argc = 1;
    for (; flags[argc - 1]; argc++) {
        if (argc == FLAGS_MAX - 1)
            count_die("too many flags");
        argv[argc] = strdup(flags[argc - 1]);
    }
    the_script = script;
    exit(program_main(row, argc, argv));
}

/* ---- the outside world, the same in every run ---- */

void clock_advance(int64_t ms)
{
    ahead_ms += ms;
}

/* Started when the process did: what Redis stores is of the present. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    static struct timespec start;
    if (!start.tv_sec)
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &start);
    *ret_time = (struct timespec){ start.tv_sec + ahead_ms / 1000, ahead_ms % 1000 * 1000000 };
    (void)clock;
    return 0;
}

__attribute__((visibility("default"))) ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    static uint64_t seed = 1;
    uint8_t *at = bytes;
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        at[i] = (uint8_t)(seed >> 56);
    }
    return (ssize_t)size;
}
