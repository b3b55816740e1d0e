#pragma once
/* Counts what a program of ours does for N tasks while a script plays all it speaks with. The
 * program is the whole real one, started by its own main; it runs only within turn(), in which the
 * clock stands still, so every run does exactly the same.
 *
 * Under callgrind a phase is dumped by its name: the instructions of all but the fake sockets, that
 * is of our own code and of libuv, hiredis, msgpack, libc and libzmq's messages. Otherwise what it
 * allocated is printed, by who did. In both cases "phase NAME TASKS" with the calls of sockets. */
#include "common/program.h"

/* What a main here calls: runs the program with these flags until it is in its loop, then the
 * script instead of it. Does not return. */
void count_program(const struct program_row *row, const char *const *flags, void (*script)(void));

/* One turn of the program's loop. */
void turn(void);
/* The program's clock goes on: for what happens before the first phase. */
void clock_advance(int64_t ms);

/* NULL, or tells another process that counts: "zero", or the name to write its count under. */
extern void (*count_elsewhere)(const char *what);

void phase_begin(void);
void phase_end(const char *name, unsigned tasks);

/* Off while a fake is at work, for what would not be the program's. */
void count_on(void);
void count_off(void);
/* False: nothing was being counted, as when the script itself asks the fake. */
bool count_pause(void);
void count_resume(bool was_on);
/* A call of a ZeroMQ socket. */
void count_socket_call(void);

/* Prints why to stderr and ends with 1. */
void count_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- allocs.c ---- */
void allocs_begin(void);
void allocs_print(const char *phase);
extern bool allocs_on;
