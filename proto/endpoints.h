#pragma once
/* The list of brokers a session goes along, and how long it rests between two rounds. */
#include <stdbool.h>
#include <stdint.h>

enum { ENDPOINTS_MAX = 16 };

struct endpoints {
    char *list; /* cut at the commas */
    const char *items[ENDPOINTS_MAX];
    unsigned count;
    unsigned at;
    unsigned failures; /* in a row */
    uint64_t dice;
};

/* From "a, b,c". False: none in it, more than ENDPOINTS_MAX, or out of memory. Clear it in any
 * case. */
bool endpoints_init(struct endpoints *self, const char *list);
void endpoints_clear(struct endpoints *self);

const char *endpoints_current(const struct endpoints *self);
/* The current one failed: on to the next. Answers how many ms to rest before it is tried: 0 within
 * the first round, then 0.1 s doubling with every round to 2 s, jittered so that peers do not come
 * back all at once. */
int64_t endpoints_next(struct endpoints *self);
/* The current one works: the next failure starts a first round. */
void endpoints_good(struct endpoints *self);
