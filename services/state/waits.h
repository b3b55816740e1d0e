#pragma once
/* Requests that wait for the end of a stage or of a task, by task id and by time. Knows no Redis,
 * no socket and no clock: the caller passes the time in. */
#include "common/slice.h"

typedef struct waits waits_t;
typedef struct wait wait_t;

/* NULL when out of memory. Holds at most waits_max waits, each for at most 60 s. */
waits_t *waits_new(size_t waits_max);
/* Whatever is parked is forgotten: end it by waits_each() first. */
void waits_destroy(waits_t **self_p);

/* task empty: every stage. 0, STATUS_BUSY, STATUS_INVALID (longer than names may be), -ENOMEM. */
int waits_park(waits_t *self, struct slice id, struct slice task, int64_t due_ms, void *arg);

/* May remove the wait it was called for (and only that). */
typedef void wait_fn(void *arg, wait_t *wait);
/* Of one task id / of all. */
void waits_find(waits_t *self, struct slice id, wait_fn *found, void *arg);
void waits_each(waits_t *self, wait_fn *found, void *arg);
/* Those whose time is over by now; called at least every second. */
void waits_tick(waits_t *self, int64_t now_ms, wait_fn *expired, void *arg);

void waits_remove(waits_t *self, wait_t *wait);
size_t waits_count(const waits_t *self);

struct slice wait_id(const wait_t *self);
struct slice wait_task(const wait_t *self);
void *wait_arg(const wait_t *self);
/* A number of the caller's, 0 at first. */
uint8_t *wait_note(wait_t *self);
