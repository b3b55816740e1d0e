/* gantry-bench: load on a Gantry system, in the roles a bench of task queues needs.
 *
 *   serve    a private Redis, brokers and state services, until SIGTERM
 *            port=P dir=FOLDER fsync=none|everysec|always brokers=1|2 states=1|2
 *            fused=1 (gantry-node instead of both) keep=1 (who ends is started again)
 *            queue-max=N audit-interval-ms=N, the state services' settings
 *   produce  submits, counts receipts; rate= tasks a second, 0: as fast as it goes
 *            tasks=N window=N batch=N payload=N rate=N
 *            batch= tasks a call; calls share messages unless merge=0
 *   work     does nothing with tasks, counts them; window=N
 *   rtt      one task in flight, submit to result; tasks=N payload=N pause_ms=N
 *   probe    submits until one task is accepted, each time as a new client; says D then
 *
 * Load roles take dir= net=ipc|tcp port= brokers= and first=, the broker they prefer. They print
 * READY, wait for a line on stdin (probe does not), then print
 *   S <ns>          it starts
 *   P <count> <ns>  its count so far and when it last grew
 *   D <ns>          a producer is done
 *   L <ns> <ns>     rtt: submit to worker, submit to result
 * Times are CLOCK_MONOTONIC. A payload starts with the submit time as 16 hex digits, then the
 * task's number as 8; a result is the worker's receive time as 16 hex digits. */
#include "tests/bench/bench.h"

#include "common/clock.h"

#include <endian.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAY_EVERY_US = 9000 };

static int arguments_count;
static char **arguments;
static _Atomic uint64_t count;
static _Atomic int64_t counted_ns;
static atomic_bool ending;
static pthread_t reporter;

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

/* ---- counting ---- */

void bench_count(uint64_t n, int64_t now_ns)
{
    /* no other thread writes */
    uint64_t now = atomic_load_explicit(&count, memory_order_relaxed) + n;
    atomic_store_explicit(&counted_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&count, now, memory_order_release);
}

static void *report(void *arg)
{
    uint64_t said = 0;
    (void)arg;
    while (!atomic_load(&ending)) {
        usleep(SAY_EVERY_US);
        uint64_t now = atomic_load_explicit(&count, memory_order_acquire);
        if (now == said)
            continue;
        bench_say("P %llu %lld\n", (unsigned long long)now, (long long)atomic_load(&counted_ns));
        said = now;
    }
    return NULL;
}

void bench_ready(void)
{
    char line[64];
    sigset_t all, before;
    bench_say("READY\n");
    if (read(0, line, sizeof line) <= 0)
        exit(0);
    bench_say("S %lld\n", (long long)clock_ns());
    sigfillset(&all); /* signals are the main thread's: they end its poll */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&reporter, NULL, report, NULL))
        bench_die("no thread could be made");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void bench_end(bool producer)
{
    int64_t now_ns = clock_ns();
    atomic_store(&ending, true);
    pthread_join(reporter, NULL);
    bench_say("P %llu %lld\n", (unsigned long long)count, (long long)counted_ns);
    if (producer)
        bench_say("D %lld\n", (long long)now_ns);
}

/* ---- endpoints and stamps ---- */

void bench_endpoints(const char *which, char list[BENCH_ENDPOINTS])
{
    const bool tcp = strcmp(bench_option("net", "ipc"), "tcp") == 0;
    const uint64_t brokers = bench_number("brokers", 1);
    const uint64_t port = bench_number("port", 0) + (strcmp(which, "workers") == 0);
    size_t size = 0;
    if (brokers < 1 || brokers > BENCH_BROKERS_MAX)
        bench_die("brokers= is 1 or 2");
    for (uint64_t i = 0; i < brokers && size < BENCH_ENDPOINTS; i++) {
        const uint64_t k = (bench_number("first", 0) + i) % brokers;
        const char *comma = i ? "," : "";
        const int n = tcp ? snprintf(list + size, BENCH_ENDPOINTS - size, "%stcp://127.0.0.1:%llu",
                                     comma, (unsigned long long)(port + 2 * k))
                          : snprintf(list + size, BENCH_ENDPOINTS - size, "%sipc://%s/%s%s", comma,
                                     bench_option("dir", "."), which, k ? "2" : "");
        size += (size_t)n;
    }
    if (size >= BENCH_ENDPOINTS)
        bench_die("dir= is too long");
}

/* All digits at once: it is done thrice a task, and shall not be what is measured. */
void bench_hex(uint32_t value, char digits[BENCH_NUMBER])
{
    uint64_t x = value;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f; /* a nibble in each byte */
    const uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
    x = htobe64(x + 0x3030303030303030 + letters * ('a' - '0' - 10));
    memcpy(digits, &x, BENCH_NUMBER);
}

void bench_stamp(int64_t ns, char digits[BENCH_STAMP])
{
    bench_hex((uint32_t)((uint64_t)ns >> 32), digits);
    bench_hex((uint32_t)ns, digits + BENCH_NUMBER);
}

int64_t bench_unstamp(const char digits[BENCH_STAMP])
{
    char text[BENCH_STAMP + 1] = "";
    memcpy(text, digits, BENCH_STAMP);
    return (int64_t)strtoull(text, NULL, 16);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } roles[] = { { "serve", bench_serve },
                  { "produce", bench_produce },
                  { "work", bench_work },
                  { "rtt", bench_rtt },
                  { "probe", bench_probe } };
    arguments_count = argc;
    arguments = argv;
    for (size_t i = 0; argc > 1 && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(argv[1], roles[i].name) == 0)
            return roles[i].run();
    (void)fprintf(stderr, "usage: gantry-bench serve|produce|work|rtt|probe key=value...\n");
    return 2;
}
