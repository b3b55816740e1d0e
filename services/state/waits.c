#include "services/state/waits.h"

#include "common/paths.h"
#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

/* Due times lie in a wheel: one slot a SLOT_MS, wide enough that no wait laps it. */
enum { SLOT_MS = 64, SLOTS = 1024, BUCKETS_LEAST = 64 };

struct chain {
    wait_t *next, *previous;
};

struct wait {
    struct chain bucket; /* by hash of the id */
    struct chain slot;   /* by due time */
    uint64_t hash;
    int64_t due_ms;
    void *arg;
    uint8_t id_size, task_size, note;
    char id[TASK_ID_MAX];
    char task[TASK_NAME_MAX];
};

struct waits {
    size_t max, count;
    size_t mask;        /* buckets - 1 */
    int64_t swept_slot; /* all slots up to here are free of what is due */
    wait_t *spare;
    wait_t *slots[SLOTS];
    wait_t *buckets[];
};

waits_t *waits_new(size_t waits_max)
{
    size_t buckets = BUCKETS_LEAST;
    while (buckets < waits_max)
        buckets *= 2;
    waits_t *self = calloc(1, sizeof *self + buckets * sizeof(wait_t *));
    if (!self)
        return NULL;
    self->max = waits_max;
    self->mask = buckets - 1;
    return self;
}

static void free_chain(wait_t *wait)
{
    while (wait) {
        wait_t *next = wait->bucket.next;
        free(wait);
        wait = next;
    }
}

void waits_destroy(waits_t **self_p)
{
    waits_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i <= self->mask; i++)
        free_chain(self->buckets[i]);
    free_chain(self->spare);
    free(self);
}

static wait_t **bucket_of(waits_t *self, uint64_t hash)
{
    return &self->buckets[hash & self->mask];
}

static wait_t **slot_of(waits_t *self, int64_t due_ms)
{
    return &self->slots[(uint64_t)(due_ms / SLOT_MS) % SLOTS];
}

static void link_wait(waits_t *self, wait_t *wait)
{
    wait_t **bucket = bucket_of(self, wait->hash);
    wait->bucket = (struct chain){ .next = *bucket };
    if (*bucket)
        (*bucket)->bucket.previous = wait;
    *bucket = wait;

    wait_t **slot = slot_of(self, wait->due_ms);
    wait->slot = (struct chain){ .next = *slot };
    if (*slot)
        (*slot)->slot.previous = wait;
    *slot = wait;
    self->count++;
}

int waits_park(waits_t *self, struct slice id, struct slice task, int64_t due_ms, void *arg)
{
    if (id.size > TASK_ID_MAX || task.size > TASK_NAME_MAX)
        return STATUS_INVALID;
    if (self->count >= self->max)
        return STATUS_BUSY;
    wait_t *wait = self->spare;
    if (wait)
        self->spare = wait->bucket.next;
    else
        wait = malloc(sizeof *wait);
    if (!wait)
        return -ENOMEM;

    *wait = (struct wait){ .hash = slice_hash(id), .due_ms = due_ms, .arg = arg };
    wait->id_size = (uint8_t)id.size;
    wait->task_size = (uint8_t)task.size;
    if (id.size)
        memcpy(wait->id, id.data, id.size);
    if (task.size)
        memcpy(wait->task, task.data, task.size);
    link_wait(self, wait);
    return 0;
}

void waits_remove(waits_t *self, wait_t *wait)
{
    if (wait->bucket.previous)
        wait->bucket.previous->bucket.next = wait->bucket.next;
    else
        *bucket_of(self, wait->hash) = wait->bucket.next;
    if (wait->bucket.next)
        wait->bucket.next->bucket.previous = wait->bucket.previous;

    if (wait->slot.previous)
        wait->slot.previous->slot.next = wait->slot.next;
    else
        *slot_of(self, wait->due_ms) = wait->slot.next;
    if (wait->slot.next)
        wait->slot.next->slot.previous = wait->slot.previous;

    self->count--;
    wait->bucket.next = self->spare; /* at most waits_max in all: freed at the end */
    self->spare = wait;
}

void waits_find(waits_t *self, struct slice id, wait_fn *found, void *arg)
{
    uint64_t hash = slice_hash(id);
    for (wait_t *wait = *bucket_of(self, hash), *next; wait; wait = next) {
        next = wait->bucket.next; /* found may remove the wait */
        if (wait->hash == hash && slice_equal(wait_id(wait), id))
            found(arg, wait);
    }
}

void waits_each(waits_t *self, wait_fn *found, void *arg)
{
    for (size_t i = 0; i <= self->mask && self->count; i++) {
        for (wait_t *wait = self->buckets[i], *next; wait; wait = next) {
            next = wait->bucket.next;
            found(arg, wait);
        }
    }
}

static void sweep_slot(wait_t *wait, int64_t now_ms, wait_fn *expired, void *arg)
{
    for (wait_t *next; wait; wait = next) {
        next = wait->slot.next;
        if (wait->due_ms <= now_ms)
            expired(arg, wait);
    }
}

void waits_tick(waits_t *self, int64_t now_ms, wait_fn *expired, void *arg)
{
    int64_t last = now_ms / SLOT_MS;
    int64_t first = self->swept_slot;
    if (last - first >= SLOTS)
        first = last - SLOTS + 1; /* once round sees all */
    for (int64_t slot = first; slot <= last; slot++)
        sweep_slot(self->slots[(uint64_t)slot % SLOTS], now_ms, expired, arg);
    self->swept_slot = last; /* again next time: its later part was not due yet */
}

size_t waits_count(const waits_t *self)
{
    return self->count;
}

struct slice wait_id(const wait_t *self)
{
    return slice_make(self->id, self->id_size);
}

struct slice wait_task(const wait_t *self)
{
    return slice_make(self->task, self->task_size);
}

void *wait_arg(const wait_t *self)
{
    return self->arg;
}

uint8_t *wait_note(wait_t *self)
{
    return &self->note;
}
