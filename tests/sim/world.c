#include "tests/sim/world.h"

#include "tests/sim/net.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

struct event {
    int64_t at_us;
    uint64_t serial; /* first come, first served within one moment */
    event_fn *fire;
    void *arg;
    uint64_t tag;
};

struct world world;

/* A binary heap, kept over worlds. */
static struct event *heap;
static size_t heap_size, heap_room;
static uint64_t serial;
static uint64_t dice;

/* ---- chance: splitmix64 ---- */

uint64_t roll_bits(void)
{
    dice += 0x9e3779b97f4a7c15u;
    uint64_t z = dice;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t roll(int64_t sides)
{
    assert(sides > 0);
    return (int64_t)(roll_bits() % (uint64_t)sides);
}

int64_t roll_between(int64_t least, int64_t most)
{
    return least + roll(most - least + 1);
}

bool chance(int percent)
{
    return roll(100) < percent;
}

/* ---- time ---- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->serial < b->serial;
}

void plan(int64_t at_us, event_fn *fire, void *arg, uint64_t tag)
{
    if (heap_size == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 1024;
        heap = realloc(heap, heap_room * sizeof *heap);
        assert(heap);
    }
    struct event event = { at_us > world.now_us ? at_us : world.now_us, ++serial, fire, arg, tag };
    size_t i = heap_size++;
    while (i > 0 && earlier(&event, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = event;
}

static struct event pop(void)
{
    struct event first = heap[0];
    struct event last = heap[--heap_size];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap_size)
            break;
        if (child + 1 < heap_size && earlier(&heap[child + 1], &heap[child]))
            child++;
        if (!earlier(&heap[child], &last))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return first;
}

bool world_step(void)
{
    if (heap_size == 0 || world.failed)
        return false;
    struct event event = pop();
    assert(event.at_us >= world.now_us);
    world.now_us = event.at_us;
    world.events++;
    event.fire(event.arg, event.tag);
    return !world.failed;
}

int64_t local_ms(const struct proc *proc)
{
    return world.now_us / 1000 + (proc ? proc->offset_ms : 0);
}

int64_t from_local_ms(const struct proc *proc, int64_t local_ms)
{
    if (local_ms > INT64_MAX / 2000)
        return INT64_MAX;
    return local_ms < proc->offset_ms ? 0 : (local_ms - proc->offset_ms) * 1000;
}

/* ---- processes ---- */

struct proc *proc_new(enum role role)
{
    assert(world.procs_count < PROCS_MAX);
    unsigned number = procs_of(role);
    struct proc *self = &world.procs[world.procs_count++];
    *self = (struct proc){ .role = role, .number = number, .wake_us = INT64_MAX };
    self->offset_ms = roll_between(1000, 100000000);
    return self;
}

static void on_wake(void *arg, uint64_t tag)
{
    struct proc *self = arg;
    if (!self->up || self->life != tag || self->wake_us > world.now_us)
        return;
    self->wake_us = INT64_MAX;
    if (proc_paused(self)) {
        proc_wake(self, self->paused_until_us);
        return;
    }
    struct proc *before = proc_enter(self);
    int64_t again = self->step(self);
    proc_leave(before);
    if (self->up && again != INT64_MAX) /* the same moment for ever would stop the time */
        proc_wake(self, again > world.now_us ? again : world.now_us + 1000);
}

void proc_wake(struct proc *self, int64_t at_us)
{
    if (!self->up || at_us >= self->wake_us)
        return;
    self->wake_us = at_us > world.now_us ? at_us : world.now_us;
    plan(self->wake_us, on_wake, self, self->life);
}

void proc_start(struct proc *self, void *own)
{
    self->life++;
    self->up = true;
    self->self = own;
    self->paused_until_us = 0;
    self->wake_us = INT64_MAX;
    proc_wake(self, world.now_us);
}

void proc_crash(struct proc *self)
{
    if (!self->up)
        return;
    note("crashes", self, self->life, 0);
    self->up = false;
    net_crash(self);
    struct proc *before = proc_enter(self);
    self->crash(self);
    proc_leave(before);
    self->self = NULL;
    on_crashed(self);
}

void proc_pause(struct proc *self, int64_t for_us)
{
    if (!self->up)
        return;
    note("pauses", self, for_us / 1000, 0);
    int64_t until = world.now_us + for_us;
    if (until > self->paused_until_us)
        self->paused_until_us = until;
    proc_wake(self, self->paused_until_us);
}

static void on_time(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
}

void proc_block(void *const *until, int64_t for_us)
{
    struct proc *self = proc_enter(NULL);
    int64_t deadline_us = world.now_us + for_us;
    plan(deadline_us, on_time, NULL, 0);
    while (world.now_us < deadline_us && !(until && *until) && world_step())
        ;
    if (world.failed) /* whoever waits may give up */
        world.now_us = deadline_us;
    proc_leave(self);
}

bool proc_paused(const struct proc *self)
{
    return self->paused_until_us > world.now_us;
}

struct proc *proc_enter(struct proc *self)
{
    struct proc *before = world.current;
    world.current = self;
    return before;
}

void proc_leave(struct proc *before)
{
    world.current = before;
}

struct proc *proc_nth(enum role role, unsigned number)
{
    for (unsigned i = 0; i < world.procs_count; i++)
        if (world.procs[i].role == role && world.procs[i].number == number)
            return &world.procs[i];
    return NULL;
}

unsigned procs_of(enum role role)
{
    unsigned count = 0;
    for (unsigned i = 0; i < world.procs_count; i++)
        count += world.procs[i].role == role;
    return count;
}

/* ---- life of a world ---- */

void world_begin(uint64_t seed, bool verbose)
{
    world = (struct world){ .seed = seed, .verbose = verbose };
    world.now_us = SECOND_US; /* 0 means "never" in many places */
    dice = seed * 0xd1342543de82ef95u + 1;
    heap_size = 0;
    serial = 0;
    notes_begin();
}

void world_end(void)
{
    for (unsigned i = 0; i < world.procs_count; i++)
        proc_crash(&world.procs[i]);
    net_end();
    heap_size = 0;
}
