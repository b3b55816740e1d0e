#pragma once
/* What the roles of gantry-bench share: key=value arguments, counting, tasks to submit. */
#include "proto/gantry.h"

#include <stdbool.h>

enum {
    BENCH_STAMP = 16,
    BENCH_NUMBER = 8,
    BENCH_HEADER = BENCH_STAMP + BENCH_NUMBER,
    BENCH_ENDPOINTS = 1024,
    BENCH_BROKERS_MAX = 2
};

/* The value of key=, or fallback. */
const char *bench_option(const char *key, const char *fallback);
uint64_t bench_number(const char *key, uint64_t fallback);

/* Says READY, waits for a line on stdin (or its end: exit 0), says S <ns>. From then on a thread
 * says P <count> <ns> at most 10 ms after the count changed. */
void bench_ready(void);
/* Adds to the count; now_ns is the clock's. */
void bench_count(uint64_t n, int64_t now_ns);
/* Ends the thread, says the count once more and, of a producer, D <ns>. */
void bench_end(bool producer);
void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says why on stderr and ends with 1. */
_Noreturn void bench_die(const char *what);

/* Endpoints of the system that serve started in dir=, on net=ipc|tcp. which: "clients" or
 * "workers". All brokers=, number first= before the others. */
void bench_endpoints(const char *which, char list[BENCH_ENDPOINTS]);

/* Hex digits. */
void bench_hex(uint32_t value, char digits[BENCH_NUMBER]);
void bench_stamp(int64_t ns, char digits[BENCH_STAMP]);
int64_t bench_unstamp(const char digits[BENCH_STAMP]);

/* Tasks of system.echo with a payload of payload= bytes each. Answers batch=, how many there may be
 * at once. */
uint64_t bench_tasks_init(void);
/* The next n, stamped with now_ns; valid until the next call. */
const struct gantry_task *bench_tasks(uint64_t n, int64_t now_ns);

/* The roles; each returns an exit code. */
int bench_serve(void);
int bench_produce(void);
int bench_work(void);
int bench_rtt(void);
int bench_probe(void);
