/* What goes wrong in a random world, until it is calm. */
#include "tests/sim/net.h"
#include "tests/sim/people.h"
#include "tests/sim/schedule.h"

/* The hops at which a message may be lost on purpose. */
static const struct trap hops[] = {
    { ROLE_CLIENT, ROLE_BROKER, VERB_SUBMIT, .answer = false },
    { ROLE_BROKER, ROLE_STATE, VERB_SUBMIT, .answer = false },
    { ROLE_STATE, ROLE_BROKER, VERB_SUBMIT, .answer = true },
    { ROLE_BROKER, ROLE_CLIENT, VERB_SUBMIT, .answer = true },
    { ROLE_CLIENT, ROLE_BROKER, VERB_WAIT, .answer = false },
    { ROLE_BROKER, ROLE_STATE, VERB_WAIT, .answer = false },
    { ROLE_STATE, ROLE_BROKER, VERB_WAIT, .answer = true },
    { ROLE_BROKER, ROLE_CLIENT, VERB_WAIT, .answer = true },
    { ROLE_WORKER, ROLE_BROKER, VERB_CLAIM, .answer = false },
    { ROLE_BROKER, ROLE_STATE, VERB_CLAIM, .answer = false },
    { ROLE_STATE, ROLE_BROKER, VERB_CLAIM, .answer = true, .with_items = true },
    { ROLE_BROKER, ROLE_WORKER, VERB_CLAIM, .answer = true, .with_items = true },
    { ROLE_WORKER, ROLE_BROKER, VERB_DONE, .answer = false },
    { ROLE_BROKER, ROLE_STATE, VERB_DONE, .answer = false },
    { ROLE_STATE, ROLE_BROKER, VERB_DONE, .answer = true },
    { ROLE_BROKER, ROLE_WORKER, VERB_DONE, .answer = true },
    { ROLE_WORKER, ROLE_BROKER, VERB_HEARTBEAT, .answer = false },
    { ROLE_BROKER, ROLE_STATE, VERB_HEARTBEAT, .answer = false },
    { ROLE_STATE, ROLE_BROKER, VERB_HEARTBEAT, .answer = true },
    { ROLE_BROKER, ROLE_WORKER, VERB_HEARTBEAT, .answer = true },
    { ROLE_WORKER, ROLE_BROKER, VERB_RETURN, .answer = false },
    { ROLE_BROKER, ROLE_STATE, VERB_RETURN, .answer = false },
    { ROLE_STATE, ROLE_BROKER, VERB_RETURN, .answer = true },
    { ROLE_BROKER, ROLE_WORKER, VERB_HELLO, .answer = true },
    { ROLE_BROKER, ROLE_STATE, VERB_HELLO, .answer = true },
    { ROLE_STATE, ROLE_BROKER, VERB_READY, .answer = false },
};

static void set_trap(void)
{
    struct trap trap = hops[roll(sizeof hops / sizeof *hops)];
    trap.act = (enum trap_act)roll(TRAP_ACTS);
    trap.skip = (unsigned)(chance(50) ? 0 : roll(5));
    trap.hold_us = roll_between(1000, 8 * SECOND_US);
    (void)net_trap(&trap);
}

static struct proc *any(void)
{
    struct proc *proc = &world.procs[roll(world.procs_count)];
    return proc->role == ROLE_OPERATOR ? proc - 1 : proc; /* the last one, and its work is here */
}

static int64_t a_while(void)
{
    return chance(50) ? roll_between(1000, SECOND_US) : roll_between(1000, 15 * SECOND_US);
}

static void cancel(void)
{
    struct order *order = &check.orders[roll(check.orders_count)];
    note("cancel", NULL, order - check.orders, 0);
    (void)store_cancel(slice_of(order->id));
    check_ledger();
}

static void roll_back(void)
{
    note("the store loses its last moment", NULL, 0, 0);
    store_roll_back();
    check_rolled_back();
    states_look();
}

static void store_away(void)
{
    int64_t until = world.now_us + a_while();
    note("the store is away", NULL, (until - world.now_us) / 1000, 0);
    if (until > state_rules.away_until_us)
        state_rules.away_until_us = until;
}

static void drain_worker(void)
{
    unsigned number = (unsigned)roll(procs_of(ROLE_WORKER));
    note("an operator drains or not", proc_nth(ROLE_WORKER, number), 0, 0);
    store.drained ^= 1u << number;
}

static void on_left(void *arg, uint64_t life)
{
    struct proc *proc = arg;
    if (proc->life == life)
        proc_crash(proc);
}

static void leave_state(void)
{
    struct proc *proc = proc_nth(ROLE_STATE, (unsigned)roll(procs_of(ROLE_STATE)));
    state_leave(proc);
    plan(world.now_us + roll(SECOND_US / 5), on_left, proc, proc->life);
}

static void on_trouble(void *arg, uint64_t kind)
{
    (void)arg;
    if (kind < 15)
        (void)net_break(NULL, NULL);
    else if (kind < 25)
        (void)net_stall(a_while(), chance(50));
    else if (kind < 38)
        proc_crash(any());
    else if (kind < 40)
        leave_state();
    else if (kind < 52)
        proc_pause(any(), a_while());
    else if (kind < 60)
        net_cut(any(), a_while());
    else if (kind < 66)
        store_away();
    else if (kind < 76)
        cancel();
    else if (kind < 80)
        worker_leave(proc_nth(ROLE_WORKER, (unsigned)roll(procs_of(ROLE_WORKER))));
    else if (kind < 84)
        drain_worker();
    else if (kind < 88)
        broker_drain(proc_nth(ROLE_BROKER, (unsigned)roll(procs_of(ROLE_BROKER))), chance(70));
    else
        roll_back();
}

void trouble_plan(unsigned count, int64_t calm_us)
{
    bool may_roll_back = chance(10);
    store_rules.keeps = may_roll_back;
    for (unsigned i = 0; i < count; i++) {
        if (chance(40))
            set_trap();
        else
            plan(world.now_us + roll(calm_us), on_trouble, NULL,
                 (uint64_t)roll(may_roll_back ? 100 : 88));
    }
}

void trouble_end(void)
{
    state_rules.away_until_us = 0;
    net_rules.pipe_max = 0;
    store.drained = 0;
    trap_clear();
    for (unsigned i = 0; i < world.procs_count; i++) {
        struct proc *proc = &world.procs[i];
        if (!proc->up)
            continue;
        proc->paused_until_us = 0;
        proc_wake(proc, world.now_us);
        if (proc->role == ROLE_BROKER)
            broker_drain(proc, false);
    }
}
