/* gantry-bench: load on a Gantry system, in the roles a bench of task queues needs.
 *
 *   gantry-bench serve port=P dir=FOLDER fsync=none|everysec|always   a private Redis, broker and
 * state service gantry-bench produce dir=FOLDER tasks=N window=N batch=N payload=N  submits, counts
 * receipts gantry-bench work dir=FOLDER window=N                             does nothing with
 * tasks, counts them gantry-bench rtt dir=FOLDER tasks=N payload=N                     one task in
 * flight, submit to result
 *
 * A load role prints READY, waits for a line on stdin, then prints
 *   S <ns>          it starts
 *   P <count> <ns>  its count so far and when it last grew
 *   D <ns>          a producer is done
 *   L <ns> <ns>     rtt: submit to worker, submit to result
 * Times are CLOCK_MONOTONIC. A payload starts with the submit time as 16 hex digits; a result is
 * the worker's receive time as 16 hex digits. */
#include "tests/bench/bench.h"

#include "common/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAY_EVERY_NS = 10000000 };

static int arguments_count;
static char **arguments;
static uint64_t count, said;
static int64_t counted_ns, said_ns;

const char *bench_option(const char *key, const char *fallback)
{
    size_t size = strlen(key);
    for (int i = 2; i < arguments_count; i++)
        if (strncmp(arguments[i], key, size) == 0 && arguments[i][size] == '=')
            return arguments[i] + size + 1;
    return fallback;
}

uint64_t bench_number(const char *key, uint64_t fallback)
{
    const char *text = bench_option(key, NULL);
    return text ? strtoull(text, NULL, 10) : fallback;
}

void bench_say(const char *format, ...)
{
    char line[128];
    va_list list;
    va_start(list, format);
    int size = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (write(1, line, (size_t)size) != size)
        exit(1); /* the driver is gone */
}

_Noreturn void bench_die(const char *what)
{
    (void)fprintf(stderr, "gantry-bench: %s\n", what);
    exit(1);
}

void bench_ready(void)
{
    char line[64];
    bench_say("READY\n");
    if (read(0, line, sizeof line) <= 0)
        exit(0);
    bench_say("S %lld\n", (long long)clock_ns());
}

void bench_count(uint64_t n)
{
    count += n;
    counted_ns = clock_ns();
    if (counted_ns - said_ns > SAY_EVERY_NS)
        bench_flush();
}

void bench_flush(void)
{
    if (count == said)
        return;
    said = count;
    said_ns = clock_ns();
    bench_say("P %llu %lld\n", (unsigned long long)count, (long long)counted_ns);
}

void bench_endpoint(const char *which, char endpoint[BENCH_TEXT])
{
    uint64_t port = bench_number("port", 0) + (strcmp(which, "workers") == 0);
    if (strcmp(bench_option("net", "ipc"), "tcp") == 0)
        (void)snprintf(endpoint, BENCH_TEXT, "tcp://127.0.0.1:%llu", (unsigned long long)port);
    else
        (void)snprintf(endpoint, BENCH_TEXT, "ipc://%s/%s", bench_option("dir", "."), which);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } roles[] = { { "serve", bench_serve },
                  { "produce", bench_produce },
                  { "work", bench_work },
                  { "rtt", bench_rtt } };
    arguments_count = argc;
    arguments = argv;
    for (size_t i = 0; argc > 1 && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(argv[1], roles[i].name) == 0)
            return roles[i].run();
    (void)fprintf(stderr, "usage: gantry-bench serve|produce|work|rtt key=value...\n");
    return 2;
}
