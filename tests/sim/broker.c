/* A broker: all of the real one, on a loop of ours. */
#include "broker/broker.h"

#include "broker/drain.h"
#include "tests/sim/people.h"

#include <assert.h>
#include <stdlib.h>

enum { BROKERS_MAX = 4 };

struct program {
    struct proc *proc;
};

struct broker_rules broker_rules;

static struct program programs[BROKERS_MAX];
static struct settings settings[BROKERS_MAX];

const char *endpoint_of(unsigned number, enum role role)
{
    static char texts[BROKERS_MAX][ROLES][32];
    char *text = texts[number][role];
    if (!*text)
        (void)snprintf(text, sizeof texts[0][0], "tcp://127.0.0.1:%u",
                       1000 * (number + 1) + (unsigned)role);
    return text;
}

void endpoints_of(unsigned first, enum role role, char text[ENDPOINTS_TEXT])
{
    unsigned count = procs_of(ROLE_BROKER);
    int size = 0;
    for (unsigned i = 0; i < count; i++)
        size += snprintf(text + size, (size_t)(ENDPOINTS_TEXT - size), "%s%s", i ? "," : "",
                         endpoint_of((first + i) % count, role));
}

static bool fixed_homes;

void homes_fixed(bool fixed)
{
    fixed_homes = fixed;
}

unsigned home_of(const struct proc *proc)
{
    unsigned any = (unsigned)roll(procs_of(ROLE_BROKER));
    return fixed_homes ? proc->role == ROLE_CLIENT : any;
}

static int64_t step(struct proc *proc)
{
    if (proc->timer_due_us <= world.now_us) {
        proc->timer_due_us = world.now_us + proc->timer_repeat_us;
        proc->timer_fired(proc->timer);
    }
    sources_read(proc);
    return proc->timer_due_us;
}

static void crash(struct proc *proc)
{
    broker_row.destroy(proc->self);
    assert(!proc->sources && !proc->timer);
}

void broker_start(struct proc *proc)
{
    void *self = NULL;
    struct settings *s = &settings[proc->number];
    *s = (struct settings){
        .broker_clients = endpoint_of(proc->number, ROLE_CLIENT),
        .broker_workers = endpoint_of(proc->number, ROLE_WORKER),
        .broker_states = endpoint_of(proc->number, ROLE_STATE),
        .broker_status = endpoint_of(proc->number, ROLE_BROKER),
        .broker_requests_max = 64,
        .broker_request_bytes_max = 1 << 20,
        .broker_peers_max = 32,
        .broker_window = broker_rules.window,
        .limits_body_bytes = 1 << 16,
        .limits_batch = broker_rules.batch,
        .heartbeat_ms = broker_rules.heartbeat_ms,
        .liveness_ms = broker_rules.liveness_ms,
        .lease_ms = broker_rules.lease_ms,
    };
    programs[proc->number].proc = proc;
    proc->step = step;
    proc->crash = crash;
    proc_start(proc, NULL);
    struct proc *before = proc_enter(proc);
    int r = broker_row.start(&programs[proc->number], s, &self);
    assert(r == 0);
    (void)r;
    proc->self = self;
    proc_leave(before);
}

void broker_drain(struct proc *proc, bool on)
{
    struct broker *b = proc->self;
    if (!proc->up || proc_paused(proc))
        return;
    note(on ? "is drained" : "is taken back", proc, 0, 0);
    struct proc *before = proc_enter(proc);
    b->now_ms = local_ms(proc);
    b->draining_ms = on ? b->now_ms : 0;
    drain_tick(b);
    proc_leave(before);
}
