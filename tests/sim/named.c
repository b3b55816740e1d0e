/* The schedules that have a name: one trouble each, at one place, and what must come of it. */
#include "broker/credit.h"
#include "tests/sim/net.h"
#include "tests/sim/people.h"
#include "tests/sim/schedule.h"

#include <inttypes.h>

/* What every order has come to. */
struct result {
    enum stage_state state;
    uint32_t attempts, runs, crashes;
};

struct named {
    const char *name, *what;
    struct world_size size;
    struct trap trap;       /* verb 0: none */
    void (*play)(void);     /* further trouble, before the world begins; may be NULL */
    struct behaviour first; /* how the first run goes, for_us 0: well and shortly */
    struct result result;
    int64_t within_us; /* from the first submit; 0: the bound of all worlds */
};

enum { SUBMIT_AT_US = 2 * SECOND_US, SHORT_US = 100000, SECOND_MS = 1000 };

// clang-format off
/* brokers, state services, workers, clients, tasks */
#define SMALL { 2, 2, 2, 1, 1, 0 }
#define LONE { 1, 1, 1, 1, 1, 0 }
// clang-format on

static struct proc *worker_of_run(void)
{
    for (unsigned i = 0; i < procs_of(ROLE_WORKER); i++)
        if (worker_runs(proc_nth(ROLE_WORKER, i)))
            return proc_nth(ROLE_WORKER, i);
    return NULL;
}

static void on_pause_worker(void *arg, uint64_t for_us)
{
    struct proc *worker = worker_of_run();
    (void)arg;
    if (worker)
        proc_pause(worker, (int64_t)for_us);
}

static void pause_the_worker(void)
{
    plan(world.now_us + SUBMIT_AT_US + SECOND_US, on_pause_worker, NULL, 25 * SECOND_US);
}

static void on_away(void *arg, uint64_t for_us)
{
    (void)arg;
    state_rules.away_until_us = world.now_us + (int64_t)for_us;
}

static void take_the_store_away(void)
{
    plan(world.now_us + SUBMIT_AT_US + SECOND_US, on_away, NULL, 25 * SECOND_US);
}

static void on_roll_back(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    store_roll_back();
    check_rolled_back();
    states_look();
}

/* Many a claim ends with a state service: credit is not used up by that. */
static void kill_states_often(void)
{
    const struct trap trap = {
        .from = ROLE_STATE, .to = ROLE_BROKER, .verb = VERB_CLAIM, .answer = true, .act = TRAP_LOSE
    };
    for (int i = 0; i < 2 * CREDIT_CLAIMS_MAX; i++)
        (void)net_trap(&trap);
}

/* The task ends meanwhile; the store is back before its result is sent again. */
static void take_the_store_away_at_the_end(void)
{
    plan(world.now_us + SUBMIT_AT_US + SECOND_US, on_away, NULL, (uint64_t)roll(4 * SECOND_US));
}

/* Just after the receipt, and before the task has ended. */
static void fail_over_after_the_receipt(void)
{
    store_rules.keeps = true;
    plan(world.now_us + SUBMIT_AT_US + 50000, on_roll_back, NULL, 0);
}

static void fail_over_after_the_end(void)
{
    store_rules.keeps = true;
    plan(world.now_us + SUBMIT_AT_US + (int64_t)3 * SHORT_US, on_roll_back, NULL, 0);
}

static void on_drain(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    broker_drain(proc_nth(ROLE_BROKER, 0), true);
}

static void drain_the_broker(void)
{
    plan(world.now_us + SUBMIT_AT_US - SECOND_US, on_drain, NULL, 0);
}

static void on_crash_client(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    proc_crash(proc_nth(ROLE_CLIENT, 0));
}

static void crash_the_client(void)
{
    plan(world.now_us + SUBMIT_AT_US + 50000, on_crash_client, NULL, 0);
}

static void on_crash_broker(void *arg, uint64_t tag)
{
    (void)arg;
    proc_crash(proc_nth(ROLE_BROKER, (unsigned)tag));
}

static void crash_both_brokers(void)
{
    plan(world.now_us + SUBMIT_AT_US + 50000, on_crash_broker, NULL, 0);
    plan(world.now_us + SUBMIT_AT_US + 80000, on_crash_broker, NULL, 1);
}

static void on_full_pipes(void *arg, uint64_t most)
{
    (void)arg;
    net_rules.pipe_max = (unsigned)most;
}

/* Answers of the broker's own are lost for a while, to clients with a window of one request. */
static void fill_the_pipes(void)
{
    broker_rules.window = 1;
    plan(world.now_us + SUBMIT_AT_US - 100, on_full_pipes, NULL, 1);
    plan(world.now_us + SUBMIT_AT_US + SECOND_US, on_full_pipes, NULL, 0);
}

static void on_cancel(void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    (void)store_cancel(SLICE("t0"));
}

static void cancel_it(void)
{
    plan(world.now_us + SUBMIT_AT_US + SECOND_US, on_cancel, NULL, 0);
}

/* Workers begin at the first broker, clients at the second. */
static void live_apart(void)
{
    homes_fixed(true);
}

#define HOP(from, to, asked, is_answer, items, does)                                        \
    {                                                                                       \
        ROLE_##from, ROLE_##to, VERB_##asked, .answer = (is_answer), .with_items = (items), \
                                              .act = TRAP_##does                            \
    }
/* Whatever dies takes other messages with it: a claim's reply, too. */
#define ONCE_RUN ONCE(0)
#define ONCE(tries)                    \
    {                                  \
        STATE_COMPLETED, (tries), 1, 0 \
    }

// clang-format off
static const struct named named[] = {
    { "nothing-breaks", "one task, one handout, one run",
      SMALL, { 0 }, NULL, { 0 }, ONCE(1), SECOND_US },
    { "claim-lost-worker-broker", "the CLAIM is lost on its way to the broker",
      SMALL, HOP(WORKER, BROKER, CLAIM, false, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "claim-lost-broker-state", "the CLAIM is lost on its way to the state service",
      SMALL, HOP(BROKER, STATE, CLAIM, false, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "tasks-lost-state-broker", "the claim's reply is lost between state service and broker: requeued, no crash counted",
      SMALL, HOP(STATE, BROKER, CLAIM, true, true, LOSE), NULL, { 0 }, ONCE(2), 0 },
    { "tasks-lost-state-dies", "the state service dies with the claim's reply",
      SMALL, HOP(STATE, BROKER, CLAIM, true, true, CRASH_SENDER), NULL, { 0 }, ONCE(2), 0 },
    { "tasks-lost-broker-worker", "the claim's reply is lost between broker and worker: requeued, no crash counted",
      SMALL, HOP(BROKER, WORKER, CLAIM, true, true, LOSE), NULL, { 0 }, ONCE(2), 0 },
    { "tasks-lost-broker-dies", "the broker dies with the claim's reply",
      SMALL, HOP(BROKER, WORKER, CLAIM, true, true, CRASH_SENDER), NULL, { 0 }, ONCE(2), 0 },
    { "tasks-lost-broker-dies-first", "the broker dies before the claim's reply reaches it",
      SMALL, HOP(STATE, BROKER, CLAIM, true, true, CRASH_TARGET), NULL, { 0 }, ONCE(2), 0 },
    { "tasks-lost-worker-dies", "the worker dies before its tasks reach it: a lease is lost",
      SMALL, HOP(BROKER, WORKER, CLAIM, true, true, CRASH_TARGET), NULL, { 0 }, { STATE_COMPLETED, 2, 1, 1 }, 0 },
    { "tasks-late", "the claim's reply is held up for 3 s, the connection stands",
      SMALL, HOP(BROKER, WORKER, CLAIM, true, true, HOLD), NULL, { 0 }, ONCE(1), 0 },
    { "done-lost", "the DONE is lost on its way to the broker",
      SMALL, HOP(WORKER, BROKER, DONE, false, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "done-lost-broker-dies", "the broker dies with the DONE: the next one delivers it",
      SMALL, HOP(WORKER, BROKER, DONE, false, false, CRASH_TARGET), NULL, { 0 }, ONCE(1), 0 },
    { "done-lost-broker-state", "the DONE is lost on its way to the state service",
      SMALL, HOP(BROKER, STATE, DONE, false, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "ack-lost-state-broker", "the DONE is written, its ACK lost before the broker",
      SMALL, HOP(STATE, BROKER, DONE, true, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "ack-lost-state-dies", "the DONE is written, and the state service dies before its ACK",
      SMALL, HOP(STATE, BROKER, DONE, true, false, CRASH_SENDER), NULL, { 0 }, ONCE(1), 0 },
    { "ack-lost-broker-worker", "the DONE is written, its ACK lost before the worker",
      SMALL, HOP(BROKER, WORKER, DONE, true, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "ack-lost-worker-dies", "the DONE is written, the worker dead before its ACK",
      SMALL, HOP(BROKER, WORKER, DONE, true, false, CRASH_TARGET), NULL, { 0 }, ONCE(1), 0 },
    { "receipt-lost-state-broker", "the submit is kept, its receipt lost before the broker",
      SMALL, HOP(STATE, BROKER, SUBMIT, true, false, LOSE), NULL, { 0 }, ONCE_RUN, 0 },
    { "receipt-lost-state-dies", "the submit is kept, and the state service dies before its receipt",
      SMALL, HOP(STATE, BROKER, SUBMIT, true, false, CRASH_SENDER), NULL, { 0 }, ONCE_RUN, 0 },
    { "receipt-lost-other-broker", "the submit is kept, its receipt lost with the connection, and repeated by another broker",
      SMALL, HOP(BROKER, CLIENT, SUBMIT, true, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "receipt-lost-broker-dies", "the submit is kept, and its broker dies before the receipt",
      SMALL, HOP(BROKER, CLIENT, SUBMIT, true, false, CRASH_SENDER), NULL, { 0 }, ONCE_RUN, 0 },
    { "wait-lost", "the answer of a WAIT is lost with its connection",
      SMALL, HOP(BROKER, CLIENT, WAIT, true, false, LOSE), NULL, { 0 }, ONCE(1), 0 },
    { "wait-lost-state-dies", "the state service dies with the answer of a WAIT",
      SMALL, HOP(STATE, BROKER, WAIT, true, false, CRASH_SENDER), NULL, { 0 }, ONCE_RUN, 0 },
    { "ready-lost", "nobody hears of the new task: the look of each second finds it, in any queue",
      LONE, HOP(STATE, BROKER, READY, false, false, LOSE), NULL, { 0 }, ONCE_RUN, 5 * SECOND_US },
    { "beat-late", "a heartbeat is held up for 3 s",
      SMALL, HOP(WORKER, BROKER, HEARTBEAT, false, false, HOLD), NULL, { ACT_DONE, 5 * SECOND_US }, ONCE(1), 0 },
    { "parked-elsewhere", "the worker is parked at one broker, the task comes by the other: it runs within 100 ms",
      { 2, 1, 1, 1, 1, 0 }, { 0 }, live_apart, { ACT_DONE, 1000 }, ONCE(1), SHORT_US },
    { "ten-leases", "a task that lasts ten leases runs exactly once",
      SMALL, { 0 }, NULL, { ACT_DONE, 100 * SECOND_US }, ONCE(1), 105 * SECOND_US },
    { "worker-stopped", "a worker stands still for longer than its lease: the second attempt's result stands",
      SMALL, { 0 }, pause_the_worker, { ACT_DONE, 60 * SECOND_US }, { STATE_COMPLETED, 2, 2, 1 }, 0 },
    { "store-away", "the store is away for longer than the lease: nothing is killed, nothing expires",
      SMALL, { 0 }, take_the_store_away, { ACT_DONE, 40 * SECOND_US }, ONCE(1), 0 },
    { "store-away-at-done", "the store is away when the task ends: its result is kept, and nobody runs it again",
      SMALL, { 0 }, take_the_store_away_at_the_end, { ACT_DONE, 3 * SECOND_US }, ONCE(1), 0 },
    { "claims-lost-often", "claims end without an answer, one after the other: the worker's credit comes back each time",
      LONE, { 0 }, kill_states_often, { 0 }, ONCE_RUN, 0 },
    { "failover-loses-submit", "the store loses the second in which the task was accepted: its client hands it in again",
      SMALL, { 0 }, fail_over_after_the_receipt, { ACT_DONE, (int64_t)2 * SHORT_US }, ONCE(1), 0 },
    { "failover-loses-done", "the store loses the second in which the task came, ran and ended",
      SMALL, { 0 }, fail_over_after_the_end, { ACT_DONE, SHORT_US }, ONCE(1), 0 },
    { "broker-drained", "a broker is drained: its workers and clients go to the other",
      SMALL, { 0 }, drain_the_broker, { 0 }, ONCE(1), 0 },
    { "client-dies", "a client dies after its receipt and hands in the same again",
      SMALL, { 0 }, crash_the_client, { 0 }, ONCE_RUN, 0 },
    { "brokers-die", "both brokers die while the task runs",
      SMALL, { 0 }, crash_both_brokers, { ACT_DONE, 5 * SECOND_US }, ONCE_RUN, 0 },
    { "full-pipes", "refusals of the broker are lost in a full pipe: whoever misses one asks again",
      { 1, 1, 2, 1, 6, 0 }, { 0 }, fill_the_pipes, { 0 }, { STATE_COMPLETED, 0, 1, 0 }, 10 * SECOND_US },
    { "cancel-running", "a running task is cancelled within a heartbeat and its grace",
      SMALL, { 0 }, cancel_it, { ACT_DONE, 60 * SECOND_US }, { STATE_CANCELLED, 1, 1, 0 }, 5 * SECOND_US },
};
// clang-format on

const unsigned named_count = sizeof named / sizeof *named;

const struct named *named_at(unsigned index)
{
    return &named[index];
}

const char *named_name(const struct named *row)
{
    return row->name;
}

const char *named_what(const struct named *row)
{
    return row->what;
}

static void order_all(const struct named *row)
{
    for (unsigned i = 0; i < row->size.orders; i++) {
        struct order *order = order_new();
        order->task = row->size.workers == 1 && chance(50) ? "aux.work" : "sim.work";
        order->failures_max = 3;
        order->retry_ms = 100;
        for (int k = 0; k < ACTS_MAX; k++)
            order->acts[k] = (struct behaviour){ ACT_DONE, SHORT_US };
        if (row->first.for_us)
            order->acts[0] = row->first;
        client_wants(0, order, world.now_us + SUBMIT_AT_US);
    }
}

static void check_row(const struct named *row, const struct trap *trap, int64_t began_us)
{
    const struct result *wanted = &row->result;
    int64_t took_us = world.now_us - began_us - SUBMIT_AT_US;
    if (trap && !trap->sprung)
        fail("%s: its trap was not sprung", row->name);
    if (row->within_us && took_us > row->within_us + SHORT_US)
        fail("%s: took %" PRId64 " ms, at most %" PRId64 " are right", row->name,
             took_us / SECOND_MS, row->within_us / SECOND_MS);
    for (unsigned i = 0; i < store.stages_count; i++) {
        const struct stage *stage = &store.stages[i];
        const struct order *order = order_of(slice_of(stage->id));
        if (stage->state != wanted->state || stage->crashes != wanted->crashes ||
            (wanted->attempts && stage->attempt != wanted->attempts) ||
            (!check.rolled_back && order->runs != wanted->runs) || stage->accepted != 1)
            fail("%s: %s after %u attempts, %u runs, %u crashes, accepted %u times", row->name,
                 state_text((int)stage->state), stage->attempt, order->runs, stage->crashes,
                 stage->accepted);
    }
}

bool schedule_named(const struct named *row, uint64_t seed, bool verbose)
{
    const struct trap *trap = NULL;
    world_begin(seed, verbose);
    schedule_begin(&row->size);
    int64_t began_us = world.now_us;
    order_all(row);
    if (row->play)
        row->play();
    if (row->trap.verb) {
        struct trap set = row->trap;
        set.hold_us = 3 * SECOND_US;
        trap = net_trap(&set);
    }
    schedule_run(200 * SECOND_US);
    if (!world.failed)
        check_row(row, trap, began_us);
    return schedule_end();
}
