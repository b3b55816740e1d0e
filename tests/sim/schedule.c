#include "tests/sim/schedule.h"

#include "tests/sim/net.h"
#include "tests/sim/people.h"

#include <assert.h>
#include <inttypes.h>

enum {
    BOUND_US = 250 * SECOND_US, /* after the trouble: longer than a lost answer is waited for */
    LOOK_US = 50000,
    KEEP_US = 500000,
    EVENTS_BOUND = 3000000,
    QUIET_SLOW_US = 100000,
};

static void start(struct proc *proc)
{
    static void (*const starts[ROLES])(struct proc *) = {
        [ROLE_BROKER] = broker_start,
        [ROLE_STATE] = state_start,
        [ROLE_WORKER] = worker_start,
        [ROLE_CLIENT] = client_start,
    };
    note("starts", proc, proc->life + 1, 0);
    starts[proc->role](proc);
}

static int64_t restart_least_us, restart_most_us;

void trouble_restart_after(int64_t least_us, int64_t most_us)
{
    restart_least_us = least_us;
    restart_most_us = most_us;
}

static void on_restart(void *arg, uint64_t life)
{
    struct proc *proc = arg;
    if (!proc->up && proc->life == life && proc->role != ROLE_OPERATOR)
        start(proc);
}

void on_crashed(struct proc *proc)
{
    plan(world.now_us + roll_between(restart_least_us, restart_most_us), on_restart, proc,
         proc->life);
}

void schedule_begin(const struct world_size *size)
{
    const unsigned counts[ROLES] = { [ROLE_BROKER] = size->brokers,
                                     [ROLE_STATE] = size->states,
                                     [ROLE_WORKER] = size->workers,
                                     [ROLE_CLIENT] = size->clients,
                                     [ROLE_OPERATOR] = size->operators };
    check_clear();
    store_clear();
    states_begin();
    workers_begin();
    clients_begin();
    homes_fixed(false);
    net_rules = (struct net_rules){ .delay_least_us = 50, .delay_most_us = 500 };
    state_rules = (struct state_rules){ .store_us = 500 };
    broker_rules = (struct broker_rules){
        .heartbeat_ms = 2000, .liveness_ms = 6000, .lease_ms = 10000, .window = 64, .batch = 16
    };
    store_rules = (struct store_rules){ .lease_ms = 10000,
                                        .failures_max = 3,
                                        .crashes_max = 3,
                                        .retry_cap_ms = 2000,
                                        .queue_max = 100 };
    trouble_restart_after(50000, SECOND_US);
    for (int role = 0; role < ROLES; role++)
        for (unsigned i = 0; i < counts[role]; i++)
            (void)proc_new((enum role)role);
    for (unsigned i = 0; i < size->workers; i++)
        worker_options(i, 2, true, 0);
}

static int64_t calm_at_us;
static bool over;

static bool operates(void)
{
    const struct proc *proc = proc_nth(ROLE_OPERATOR, 0);
    return proc && proc->up;
}

static void on_look(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    over = !operates() && clients_content() && check_settled();
    if (world.now_us > calm_at_us + BOUND_US || world.events > EVENTS_BOUND) {
        check_note_open();
        clients_note_open();
        fail("not all has ended and been told %" PRId64 " s after the trouble (%" PRIu64 " events)",
             (world.now_us - calm_at_us) / SECOND_US, world.events);
    }
    plan(world.now_us + LOOK_US, on_look, NULL, 0);
}

static void on_keep(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    store_keep();
    plan(world.now_us + KEEP_US, on_keep, NULL, 0);
}

static void on_calm(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    note("the trouble is over", NULL, 0, 0);
    trouble_end();
    for (unsigned i = 0; i < world.procs_count; i++)
        if (!world.procs[i].up && world.procs[i].role != ROLE_OPERATOR)
            start(&world.procs[i]);
}

void schedule_run(int64_t calm_us)
{
    calm_at_us = world.now_us + calm_us;
    over = false;
    for (unsigned i = 0; i < world.procs_count; i++)
        if (world.procs[i].role != ROLE_OPERATOR)
            start(&world.procs[i]);
    plan(world.now_us + LOOK_US, on_look, NULL, 0);
    if (store_rules.keeps)
        plan(world.now_us + KEEP_US, on_keep, NULL, 0);
    plan(calm_at_us, on_calm, NULL, 0);
    if (procs_of(ROLE_OPERATOR))
        operator_run(calm_at_us);
    while (!over && world_step())
        ;
}

bool schedule_end(void)
{
    if (!world.failed)
        check_end();
    bool good = !world.failed;
    if (!good) {
        if (!world.verbose)
            notes_print(stdout);
        (void)printf("FAILED seed %" PRIu64 ": %s\n", world.seed, world.failure);
    }
    world.verbose = false;
    world_end();
    states_end();
    if (good && check.begun != check.answered) {
        (void)printf("FAILED seed %" PRIu64 ": %" PRIu64 " calls of clients were begun, %" PRIu64
                     " answered\n",
                     world.seed, check.begun, check.answered);
        return false;
    }
    return good;
}

/* ---- a world from a seed ---- */

static void roll_rules(void)
{
    static const int64_t leases_ms[] = { 2500, 5000, 10000 };
    int64_t lease_ms = leases_ms[roll(3)];
    broker_rules.lease_ms = store_rules.lease_ms = lease_ms;
    broker_rules.heartbeat_ms = lease_ms / 5;
    broker_rules.liveness_ms = lease_ms * 3 / 5;
    broker_rules.window = chance(20) ? 2 : 64;
    broker_rules.batch = chance(20) ? 2 : 16;
    store_rules.queue_max = chance(10) ? 2 : 100;
    trouble_restart_after(20000, chance(30) ? 6 * SECOND_US : SECOND_US);
}

static void roll_delays(void)
{
    if (chance(40)) {
        net_rules.slow_percent = (int)roll_between(1, 10);
        net_rules.slow_us = roll_between(1000, chance(20) ? SECOND_US : 100000);
    }
    if (chance(40)) {
        state_rules.slow_percent = (int)roll_between(1, 10);
        state_rules.slow_us = roll_between(1000, chance(20) ? 2 * SECOND_US : 100000);
    }
    if (check.quiet && net_rules.slow_us > QUIET_SLOW_US)
        net_rules.slow_us = QUIET_SLOW_US; /* later tasks go back unbegun */
    if (check.quiet && state_rules.slow_us > QUIET_SLOW_US)
        state_rules.slow_us = QUIET_SLOW_US;
    if (!check.quiet && chance(10))
        net_rules.pipe_max = (unsigned)roll_between(1, 3);
}

static struct behaviour roll_behaviour(bool quiet)
{
    static const enum act acts[] = { ACT_DONE,   ACT_DONE,  ACT_DONE,  ACT_DONE,
                                     ACT_SKIP,   ACT_FAIL,  ACT_RETRY, ACT_SNOOZE,
                                     ACT_RETURN, ACT_CRASH, ACT_HANG };
    struct behaviour behaviour = { acts[roll(sizeof acts / sizeof *acts)], 0 };
    if (quiet && behaviour.act >= ACT_CRASH)
        behaviour.act = ACT_DONE;
    behaviour.for_us = chance(70)   ? roll_between(100, 200000)
                       : chance(90) ? roll_between(100, 3 * SECOND_US)
                                    : roll_between(SECOND_US, 10 * SECOND_US);
    return behaviour;
}

static void roll_orders(const struct world_size *size, int64_t within_us)
{
    for (unsigned i = 0; i < size->orders; i++) {
        struct order *order = order_new();
        order->task = chance(70) ? "sim.work" : "aux.work";
        order->priority = (int)roll(3);
        order->delay_ms = chance(15) ? roll_between(1, 3000) : 0;
        order->close_ms = chance(5) ? roll_between(100, 10000) : 0;
        order->start_ms = chance(5) ? roll_between(100, 10000) : 0;
        order->failures_max = (uint32_t)roll_between(1, 4);
        order->retry_ms = (uint32_t)roll_between(1, 500);
        for (int k = 0; k < ACTS_MAX; k++)
            order->acts[k] = roll_behaviour(check.quiet);
        unsigned client = (unsigned)roll(size->clients);
        client_wants(client, order, world.now_us + roll(within_us));
        if (size->clients > 1 && chance(10))
            client_wants((client + 1) % size->clients, order, world.now_us + roll(within_us));
    }
}

bool schedule_of_seed(uint64_t seed, bool verbose)
{
    world_begin(seed, verbose);
    const struct world_size size = { (unsigned)roll_between(1, 3),  (unsigned)roll_between(1, 3),
                                     (unsigned)roll_between(2, 4),  (unsigned)roll_between(1, 2),
                                     (unsigned)roll_between(3, 10), chance(25) };
    schedule_begin(&size);
    check.quiet = chance(5);
    int64_t calm_us = roll_between(1, chance(80) ? 4 : 15) * SECOND_US;
    roll_rules();
    roll_delays();
    for (unsigned i = 0; i < size.workers; i++)
        worker_options(i, (uint32_t)roll_between(1, 3), i < 1 || chance(50), 0);
    roll_orders(&size, calm_us);
    if (!check.quiet)
        trouble_plan((unsigned)roll_between(1, 8), calm_us);
    schedule_run(calm_us);
    return schedule_end();
}
