#pragma once
/* What the roles of gantry-bench share: key=value arguments, the clock, the counted lines on
 * stdout. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_STAMP = 16, BENCH_HEADER = 24, BENCH_TEXT = 512 };

/* The value of key=, or fallback. */
const char *bench_option(const char *key, const char *fallback);
uint64_t bench_number(const char *key, uint64_t fallback);

/* Says READY, waits for a line on stdin (or its end: exit 0), says S <ns>. */
void bench_ready(void);
/* Adds to the count; says P <count> <ns> at most every 10 ms. */
void bench_count(uint64_t n);
/* Says the count once more if it changed since. */
void bench_flush(void);
void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says why on stderr and ends with 1. */
_Noreturn void bench_die(const char *what);

/* Endpoints of the system that serve started in dir=, on net=ipc|tcp. which: "clients" or
 * "workers". */
void bench_endpoint(const char *which, char endpoint[BENCH_TEXT]);

/* The roles; each returns an exit code. */
int bench_serve(void);
int bench_produce(void);
int bench_work(void);
int bench_rtt(void);
