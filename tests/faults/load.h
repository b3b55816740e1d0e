#pragma once
/* gantry-faults-load: clients, workers and engines that write down all they do, for tests/faults.
 *
 * A journal is a file of lines, one event each, appended with one write(): what a killed process
 * did is there up to its last moment. First a letter, then CLOCK_MONOTONIC in nanoseconds. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_ID = 64, LOAD_TEXT = 160, LOAD_TOKEN = 16 };

/* The value of key= on the command line, or fallback. */
const char *load_option(const char *key, const char *fallback);
uint64_t load_number(const char *key, uint64_t fallback);
/* Says why on stderr and ends with 1. */
_Noreturn void load_die(const char *what);

/* Opens it at its end; a line that a killed process left half is ended. */
void journal_open(const char *path);
/* Appends "KIND <ns> text\n". */
void journal(char kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What task number `number` of a client is, from the seed alone: so a client that was killed knows
 * again what it was about to do. */
enum load_node { LOAD_WORK, LOAD_ECHO, LOAD_SLEEP, LOAD_NODES };
extern const char *const load_nodes[LOAD_NODES];

struct plan {
    char id[LOAD_ID];
    uint8_t token[LOAD_TOKEN];
    enum load_node node;
    uint32_t priority;
    uint32_t batch;  /* tasks of this number's group of eight that go in one message */
    uint32_t run_ms; /* how long it takes */
    const char *how; /* its end: done, fail, return, retry, exhaust (retries until it has failed),
                        snooze, late (its time is over before it is done) */
    uint32_t times; /* attempts that return, retry or snooze before it is done; exhaust: failures it
                       may have */
    uint32_t after_ms; /* of a retry or snooze; 0: the back-off */
    bool stubborn;     /* does not heed a cancel: is done all the same */
    int64_t cancel_ms; /* after its receipt; -1: never */
    int64_t again_ms;  /* the same submit again, through another broker; -1: never */
    uint32_t delay_ms; /* of its start */
    uint32_t close_ms; /* schedule to close; 0: none */
};

struct plan_options {
    const char *name; /* of the client */
    uint64_t seed;
    uint64_t lease_ms;
    bool engines; /* some are of the service system, for gantry-worker */
};

void plan_make(struct plan *ret_plan, const struct plan_options *options, uint64_t number);
/* The packed input of its node. */
struct plan_input {
    uint8_t bytes[LOAD_TEXT + 32];
    size_t size;
};
void plan_input_make(struct plan_input *ret_input, const struct plan *plan);
/* A number from all of these alone. */
uint64_t plan_dice(uint64_t seed, uint64_t number, uint64_t what);

/* The roles; each returns an exit code. */
int load_client(void);
int load_worker(void);
int load_fill(void);
int load_engine(char **argv);
