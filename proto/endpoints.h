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
    int64_t
        useless_ms; /* since when all it answered was that nothing can be done; 0: it is of use */
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
/* What a broker that is cut off from every state service answers all the same: another one may not
 * be. To be told of every answer. */
void endpoints_used(struct endpoints *self, bool of_use, int64_t now_ms);
/* Has it been of no use for longer than this, and is there another one? */
bool endpoints_useless(const struct endpoints *self, int64_t now_ms, int64_t patience_ms);
