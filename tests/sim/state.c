/* A state service: real sessions to all brokers, the model's store behind. What it is asked takes
 * its time to the store and back, and it may die on either way. */
#include "proto/session.h"

#include "common/status.h"
#include "tests/sim/ask.h"
#include "tests/sim/check.h"
#include "tests/sim/people.h"

#include <assert.h>
#include <stdlib.h>

enum { SWEEP_US = SECOND_US, ASKS_MAX = 256, LINES_MAX = 4, LOST_WRITES_PERCENT = 10 };

struct line {
    struct proc *proc;
    session_t *session;
    uint32_t epoch;
};

struct service {
    struct line lines[LINES_MAX];
    unsigned lines_count;
};

struct state_rules state_rules;

static const char *const queues[SERVICES_KNOWN] = { "sim", "aux" };

static struct ask asks[ASKS_MAX];
static uint64_t asks_serial;

/* ---- the way to the store and back ---- */

static int64_t latency(void)
{
    int64_t us = roll_between(20, state_rules.store_us);
    return chance(state_rules.slow_percent) ? us + roll(state_rules.slow_us + 1) : us;
}

static struct line *line_of(const struct ask *ask)
{
    struct service *service = ask->proc->self;
    return &service->lines[ask->line];
}

static struct ask *ask_new(struct line *line, const struct header *header, zmq_msg_t *body)
{
    struct ask *ask = asks;
    const struct service *service = line->proc->self;
    while (ask->used)
        assert(++ask < asks + ASKS_MAX);
    *ask = (struct ask){ .used = true,
                         .serial = ++asks_serial,
                         .proc = line->proc,
                         .line = (unsigned)(line - service->lines),
                         .epoch = line->epoch,
                         .header = *header };
    if (!slice_copy(header->service, ask->queue, sizeof ask->queue))
        ask->queue[0] = '\0';
    ask->header.service = ask->header.trace = (struct slice){ 0 };
    zmq_msg_init(&ask->body);
    zmq_msg_init(&ask->answer);
    zmq_msg_move(&ask->body, body);
    return ask;
}

static void ask_free(struct ask *ask)
{
    zmq_msg_close(&ask->body);
    zmq_msg_close(&ask->answer);
    ask->used = false;
}

/* The broker that asked has the request no more: tasks for it go back at once. */
static bool unreachable(const struct ask *ask)
{
    const struct line *line = line_of(ask);
    return !session_welcome(line->session) || line->epoch != ask->epoch;
}

static void on_answer(void *arg, uint64_t serial)
{
    struct ask *ask = arg;
    if (!ask->used || ask->serial != serial)
        return;
    if (proc_paused(ask->proc)) {
        plan(ask->proc->paused_until_us, on_answer, ask, serial);
        return;
    }
    struct proc *before = proc_enter(ask->proc);
    if (ask->header.verb == VERB_CLAIM && ask->status == 0 && unreachable(ask)) {
        zmq_msg_move(&ask->body, &ask->answer);
        ask_return(ask);
        check_ledger();
        ask_refuse(ask, STATUS_UNAVAILABLE);
    }
    session_answer(line_of(ask)->session, ask->header.request, ask->status, ask->count,
                   zmq_msg_size(&ask->answer) ? &ask->answer : NULL);
    proc_leave(before);
    ask_free(ask);
}

static void rearm(void);

static void write_down(struct ask *ask)
{
    ask_fn *handle = ask->header.verb < VERB_END ? brokers_say[ask->header.verb] : NULL;
    if (!handle) {
        ask_refuse(ask, STATUS_UNSUPPORTED);
        return;
    }
    handle(ask);
    check_ledger();
    rearm();
}

static void on_store(void *arg, uint64_t serial)
{
    struct ask *ask = arg;
    bool away = state_rules.away_until_us > world.now_us;
    if (!ask->used || ask->serial != serial || ask->done)
        return;
    if (!away || chance(LOST_WRITES_PERCENT)) /* written, and the link to the store is lost then */
        write_down(ask);
    if (ask->orphan) {
        ask_free(ask);
        return;
    }
    if (away) {
        ask->parked = false;
        ask_refuse(ask, STATUS_UNAVAILABLE);
    }
    ask->done = !ask->parked;
    plan(ask->parked ? ask->until_us : world.now_us + latency(), ask->parked ? on_store : on_answer,
         ask, serial);
}

static void on_asked(void *arg, const struct header *header, zmq_msg_t *body)
{
    struct ask *ask = ask_new(arg, header, body);
    plan(world.now_us + latency(), on_store, ask, ask->serial);
}

/* ---- events ---- */

static uint64_t tag_of(const struct proc *proc, unsigned low)
{
    return (uint64_t)proc->life << 8 | low;
}

static void on_ready(void *arg, uint64_t tag)
{
    struct proc *proc = arg;
    const struct service *self = proc->self;
    if (!proc->up || proc->life != tag >> 8)
        return;
    if (proc_paused(proc)) {
        plan(proc->paused_until_us, on_ready, proc, tag);
        return;
    }
    struct proc *before = proc_enter(proc);
    for (unsigned i = 0; i < self->lines_count; i++)
        session_say(self->lines[i].session, VERB_READY, slice_of(queues[tag & 0xff]), NULL);
    proc_leave(before);
}

static void each_service(event_fn *fire, unsigned low)
{
    for (unsigned i = 0; i < world.procs_count; i++) {
        struct proc *proc = &world.procs[i];
        if (proc->role == ROLE_STATE && proc->up)
            plan(world.now_us + latency(), fire, proc, tag_of(proc, low));
    }
}

void on_store_work(struct slice service)
{
    for (unsigned i = 0; i < SERVICES_KNOWN; i++)
        if (slice_is(service, queues[i]))
            each_service(on_ready, i);
}

static void on_look(void *arg, uint64_t tag)
{
    struct proc *proc = arg;
    if (!proc->up || proc->life != tag >> 8)
        return;
    for (struct ask *ask = asks; ask < asks + ASKS_MAX; ask++)
        if (ask->used && ask->parked && ask->proc == proc && !ask->orphan)
            on_store(ask, ask->serial);
}

void states_look(void)
{
    each_service(on_look, 0);
}

/* ---- time ---- */

static int64_t planned_ms;

static void on_due(void *arg, uint64_t tag);

static void rearm(void)
{
    int64_t due = store_timers();
    if (due >= planned_ms)
        return;
    planned_ms = due;
    plan(due * 1000, on_due, NULL, 0);
}

static bool any_service(void)
{
    for (unsigned i = 0; i < world.procs_count; i++)
        if (world.procs[i].role == ROLE_STATE && world.procs[i].up && !proc_paused(&world.procs[i]))
            return state_rules.away_until_us <= world.now_us;
    return false;
}

static void on_due(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    planned_ms = INT64_MAX;
    if (any_service())
        rearm();
    check_ledger();
}

static void on_sweep(void *arg, uint64_t life)
{
    struct proc *proc = arg;
    if (!proc->up || proc->life != life)
        return;
    if (!proc_paused(proc) && state_rules.away_until_us <= world.now_us) {
        store_sweep();
        rearm();
        check_ledger();
    }
    plan(world.now_us + SWEEP_US, on_sweep, proc, life);
}

/* ---- life ---- */

static void on_welcomed(void *arg, const struct m_welcome *welcome)
{
    struct line *line = arg;
    line->epoch = welcome->epoch;
}

/* Who waited by this connection asks again by another. */
static void on_lost(void *arg)
{
    const struct line *line = arg;
    for (struct ask *ask = asks; ask < asks + ASKS_MAX; ask++)
        if (ask->used && ask->parked && ask->proc == line->proc && line_of(ask) == line)
            ask_free(ask);
}

static int64_t step(struct proc *proc)
{
    struct service *self = proc->self;
    int64_t due = INT64_MAX, now = local_ms(proc);
    for (unsigned i = 0; i < self->lines_count; i++) {
        while (session_read(self->lines[i].session, now))
            ;
        int64_t next = session_tick(self->lines[i].session, now);
        due = next < due ? next : due;
    }
    return from_local_ms(proc, due);
}

/* What was on its way to the store may still get there. */
static void crash(struct proc *proc)
{
    struct service *self = proc->self;
    for (unsigned i = 0; i < self->lines_count; i++)
        session_destroy(&self->lines[i].session);
    for (struct ask *ask = asks; ask < asks + ASKS_MAX; ask++) {
        if (!ask->used || ask->orphan || ask->proc != proc)
            continue;
        if (ask->done || ask->parked || ask->header.verb == VERB_WAIT || chance(50))
            ask_free(ask);
        else
            ask->orphan = true;
    }
    free(self);
}

void state_leave(struct proc *proc)
{
    const struct service *self = proc->self;
    if (!proc->up || proc_paused(proc))
        return;
    note("says BYE", proc, 0, 0);
    struct proc *before = proc_enter(proc);
    for (unsigned i = 0; i < self->lines_count; i++)
        session_say(self->lines[i].session, VERB_BYE, (struct slice){ 0 }, NULL);
    proc_leave(before);
}

void states_begin(void)
{
    planned_ms = INT64_MAX;
}

void states_end(void)
{
    for (struct ask *ask = asks; ask < asks + ASKS_MAX; ask++)
        if (ask->used)
            ask_free(ask);
}

void state_start(struct proc *proc)
{
    struct service *self = calloc(1, sizeof *self);
    assert(self);
    proc->step = step;
    proc->crash = crash;
    proc_start(proc, self);
    struct proc *before = proc_enter(proc);
    self->lines_count = procs_of(ROLE_BROKER);
    assert(self->lines_count <= LINES_MAX);
    for (unsigned i = 0; i < self->lines_count; i++) {
        struct line *line = &self->lines[i];
        *line = (struct line){ .proc = proc };
        const struct session_options options = {
            .zmq = &world,
            .endpoints = endpoint_of(i, ROLE_STATE),
            .hello = { .role = SLICE("state"), .name = SLICE("state") },
            .requests_max = 16,
            .events = { .welcomed = on_welcomed, .lost = on_lost, .asked = on_asked },
            .arg = line,
        };
        line->session = session_new(&options);
        assert(line->session);
    }
    proc_leave(before);
    plan(world.now_us + roll(SWEEP_US), on_sweep, proc, proc->life);
    rearm();
    states_look();
}
