/* A worker: the real libgantry's, with jobs that take virtual time. Each job has a child process
 * with a launcher beside it, which kills the child when the lease it was told of ends, whatever the
 * worker does. */
#include "proto/shift.h"

#include "common/status.h"
#include "tests/sim/people.h"

#include <assert.h>
#include <stdlib.h>

enum { RUNS_MAX = 128, KILL_US = 20000, GRACE_US = 300000, HANG_US = 8000000 };

struct hand;

/* One execution of a job. */
struct run {
    bool used;
    bool alive;    /* the child lives */
    bool told;     /* to stop */
    bool lost;     /* its lease is gone: what it made goes nowhere */
    bool finished; /* by itself, while its worker was not looking */
    bool cancelled;
    uint64_t serial;
    int64_t began_us;
    unsigned crashes; /* of the order when it began */
    struct order *order;
    struct hand *hand;
    gantry_job_t *job;
    uint8_t token[WIRE_LEASE_TOKEN_SIZE];
    enum act act;
    int64_t lease_until_us;     /* the launcher kills then */
    int64_t confirmed_until_us; /* until when nobody else may have been given the same */
};

struct hand {
    struct proc *proc;
    gantry_worker_t *worker;
    struct gantry_node nodes[2];
    char name[16];
    char brokers[ENDPOINTS_TEXT];
    bool dying;
};

static struct {
    uint32_t slots;
    bool both;
    int64_t patience_ms;
} options[WORKERS_MAX];

static struct run runs[RUNS_MAX];
static uint64_t serial;

/* ---- the children ---- */

static struct run *run_new(void)
{
    struct run *run = runs;
    while (run->used)
        assert(++run < runs + RUNS_MAX);
    *run = (struct run){ .used = true, .serial = ++serial };
    return run;
}

static struct run *run_at(void *arg, uint64_t tag)
{
    struct run *run = arg;
    return run->used && run->serial == tag ? run : NULL;
}

static void die(struct run *run)
{
    if (!run->alive)
        return;
    run->alive = false;
    run->order->alive--;
}

/* Two at once: only when the earlier one's lease is known to be good no more. */
static void check_alone(const struct run *run)
{
    uint32_t here = 0;
    for (const struct run *other = runs; other < runs + RUNS_MAX; other++) {
        if (!other->used)
            continue;
        here += other->hand == run->hand && other->job;
        if (other == run || other->order != run->order || !other->alive)
            continue;
        if (other->confirmed_until_us > world.now_us && !check.rolled_back)
            fail("%s: runs on worker%u, and begins on worker%u", run->order->id,
                 other->hand->proc->number, run->hand->proc->number);
        if (check.quiet)
            fail("%s: nothing broke, and it runs twice at once", run->order->id);
    }
    if (here > options[run->hand->proc->number].slots)
        fail("worker%u runs %u jobs", run->hand->proc->number, here);
}

static void on_child(void *arg, uint64_t tag);

static void child_ends(struct run *run, int64_t after_us)
{
    plan(world.now_us + after_us, on_child, run, run->serial);
}

/* Tells the library how it went. */
static void report(struct run *run)
{
    static const struct gantry_end why = { .code = GANTRY_FAILED, .message = "as it was planned" };
    gantry_job_t *job = run->job;
    const char *state = NULL;
    uint8_t checkpoint = 7;
    bool killed = !run->alive && !run->finished && !run->cancelled;
    int64_t after_ms = roll(3) ? roll_between(1, 400) : -1;
    static void (*const plain[ACTS])(gantry_job_t *, const struct gantry_end *) = {
        [ACT_DONE] = gantry_job_done,   [ACT_SKIP] = gantry_job_skipped,
        [ACT_FAIL] = gantry_job_failed, [ACT_CRASH] = gantry_job_done,
        [ACT_HANG] = gantry_job_done,
    };
    static const char *const states[ACTS] = {
        [ACT_DONE] = "completed", [ACT_SKIP] = "skipped",   [ACT_FAIL] = "failed",
        [ACT_RETRY] = "retry",    [ACT_SNOOZE] = "snoozed", [ACT_CRASH] = "completed",
        [ACT_HANG] = "completed",
    };
    die(run);
    run->job = NULL;
    run->used = false;
    enum act act = killed ? ACT_RETRY : run->act;
    state = run->cancelled ? "cancelled" : states[act];
    struct outcome outcome = { .state = state,
                               .worker = run->hand->proc,
                               .final = !run->lost && run->crashes == run->order->crashes &&
                                        state && act != ACT_RETRY && act != ACT_SNOOZE };
    memcpy(outcome.token, run->token, sizeof outcome.token);
    check_outcome(run->order, &outcome);
    note(state ? state : "returned", run->hand->proc, run->order - check.orders, 0);
    if (run->cancelled)
        gantry_job_cancelled(job, NULL);
    else if (plain[act])
        plain[act](job, act == ACT_FAIL ? &why : NULL);
    else if (act == ACT_RETRY)
        gantry_job_retry(job, &why, after_ms);
    else if (act == ACT_SNOOZE &&
             gantry_job_keep(job, (struct gantry_bytes){ &checkpoint, 1 }) == 0)
        gantry_job_snooze(job, after_ms < 1 ? 1 : after_ms);
    else
        gantry_job_return(job);
}

/* Its worker sees that the child has ended. */
static void on_child(void *arg, uint64_t tag)
{
    struct run *run = run_at(arg, tag);
    if (!run || !run->job)
        return;
    struct proc *proc = run->hand->proc;
    if (proc_paused(proc)) {
        run->finished |= run->alive && !run->told && run->act != ACT_CRASH;
        if (run->finished)
            die(run);
        plan(proc->paused_until_us, on_child, run, tag);
        return;
    }
    if (run->act == ACT_CRASH && run->alive && !run->told) {
        proc_crash(proc);
        return;
    }
    struct proc *before = proc_enter(proc);
    report(run);
    proc_leave(before);
    proc_wake(proc, world.now_us);
}

static void on_launcher(void *arg, uint64_t tag)
{
    struct run *run = run_at(arg, tag);
    if (!run || !run->alive || run->finished)
        return;
    if (run->lease_until_us > world.now_us) {
        plan(run->lease_until_us, on_launcher, run, tag);
        return;
    }
    note("launcher kills the child", run->hand->proc, run->order - check.orders, 0);
    die(run);
    child_ends(run, 1000);
}

static void renew(struct hand *self)
{
    struct proc *proc = self->proc;
    int64_t until = from_local_ms(proc, gantry_worker_lease_until(self->worker));
    int64_t confirmed = worker_confirmed_until(proc);
    int64_t good = 1000 * store_lease_until(worker_id(self->worker));
    if (good && confirmed > good && !check.rolled_back)
        fail("worker%u trusts its lease for longer than the store", proc->number);
    for (struct run *run = runs; run < runs + RUNS_MAX; run++) {
        if (!run->used || run->hand != self || !run->alive)
            continue;
        run->lease_until_us = until;
        run->confirmed_until_us = confirmed;
        int64_t sent_us = confirmed - broker_rules.lease_ms * 1000;
        if (sent_us > run->began_us)
            check_held(run->order, slice_make(run->token, sizeof run->token), sent_us);
    }
}

/* ---- what the library asks for ---- */

static void on_run(gantry_job_t *job, void *arg)
{
    struct hand *self = arg;
    struct run *run = run_new();
    struct order *order = order_of(slice_of(gantry_job_id(job)));
    const struct stage *stage = store_find(slice_of(gantry_job_id(job)));
    struct behaviour behaviour = { ACT_DONE, roll_between(100, 20000) };
    assert(order);
    if (order->runs < ACTS_MAX)
        behaviour = order->acts[order->runs];
    order->runs++;
    order->alive++;
    run->alive = true;
    run->order = order;
    run->crashes = order->crashes;
    run->began_us = world.now_us;
    run->hand = self;
    run->job = job;
    run->act = behaviour.act;
    memcpy(run->token, job->token, sizeof run->token);
    gantry_job_set_user(job, run);
    run->lease_until_us = from_local_ms(self->proc, gantry_worker_lease_until(self->worker));
    run->confirmed_until_us =
        from_local_ms(self->proc, gantry_worker_confirmed_until(self->worker));
    note("runs", self->proc, order - check.orders, gantry_job_attempt(job));
    if (!stage && !check.rolled_back)
        fail("%s: runs, and nobody accepted it", order->id);
    check_alone(run);
    check_kept(order);
    child_ends(run, behaviour.act == ACT_HANG ? HANG_US : behaviour.for_us);
    plan(run->lease_until_us, on_launcher, run, run->serial);
}

static void on_stop(gantry_job_t *job, enum gantry_stop why, void *arg)
{
    struct hand *self = arg;
    struct run *run = gantry_job_user(job);
    if (self->dying)
        return;
    note(why == GANTRY_STOP_CANCEL ? "is told to cancel" : "is told to stop", self->proc,
         run->order - check.orders, why);
    run->told = true;
    run->lost |= why == GANTRY_STOP_STALE;
    if (why == GANTRY_STOP_STALE)
        die(run); /* SIGKILL */
    else if (why == GANTRY_STOP_CANCEL)
        run->cancelled = true;
    else
        run->act = ACT_RETURN;
    child_ends(run, roll(why == GANTRY_STOP_STALE ? KILL_US : GRACE_US));
}

/* ---- life ---- */

static void crash(struct proc *proc)
{
    struct hand *self = proc->self;
    self->dying = true;
    for (struct run *run = runs; run < runs + RUNS_MAX; run++) {
        if (!run->used || run->hand != self)
            continue;
        die(run); /* with its parent */
        run->used = false;
    }
    gantry_worker_destroy(&self->worker);
    free(self);
}

static void on_left(void *arg, uint64_t life)
{
    struct proc *proc = arg;
    if (!proc->up || proc->life != life)
        return;
    proc_crash(proc);
    worker_start(proc);
}

static int64_t step(struct proc *proc)
{
    struct hand *self = proc->self;
    int64_t now = local_ms(proc);
    while (gantry_worker_read(self->worker, now))
        ;
    int64_t due = gantry_worker_tick(self->worker, now);
    renew(self);
    if (gantry_worker_refused(self->worker))
        fail("worker%u: its nodes are refused", proc->number);
    if (gantry_worker_idle(self->worker)) {
        plan(world.now_us + 1000, on_left, proc, proc->life);
        return INT64_MAX;
    }
    return from_local_ms(proc, due);
}

void worker_start(struct proc *proc)
{
    struct hand *self = calloc(1, sizeof *self);
    assert(self);
    self->proc = proc;
    proc->step = step;
    proc->crash = crash;
    proc_start(proc, self);
    struct proc *before = proc_enter(proc);
    (void)snprintf(self->name, sizeof self->name, "worker%u", proc->number);
    for (int i = 0; i < 2; i++)
        self->nodes[i] = (struct gantry_node){
            .name = i ? "aux.work" : "sim.work", .run = on_run, .stop = on_stop, .arg = self
        };
    endpoints_of(home_of(proc), ROLE_WORKER, self->brokers);
    bool both = options[proc->number].both;
    struct gantry_worker_options wanted = {
        .brokers = self->brokers,
        .name = self->name,
        .slots = options[proc->number].slots,
        .nodes = both ? self->nodes : &self->nodes[proc->number % 2],
        .nodes_count = both ? 2 : 1,
        .patience_ms = options[proc->number].patience_ms,
    };
    self->worker = gantry_worker_new(&wanted);
    assert(self->worker);
    proc_leave(before);
}

void workers_begin(void)
{
    memset(runs, 0, sizeof runs);
    memset(options, 0, sizeof options);
}

void worker_options(unsigned number, uint32_t slots, bool both, int64_t patience_ms)
{
    options[number].slots = slots;
    options[number].both = both;
    options[number].patience_ms = patience_ms;
}

int64_t worker_confirmed_until(const struct proc *proc)
{
    const struct hand *self = proc->self;
    return from_local_ms(proc, gantry_worker_confirmed_until(self->worker));
}

bool worker_runs(const struct proc *proc)
{
    const struct hand *self = proc->self;
    return proc->up && gantry_worker_jobs(self->worker) > 0;
}

void worker_leave(struct proc *proc)
{
    const struct hand *self = proc->self;
    if (!proc->up)
        return;
    note("is told to leave", proc, 0, 0);
    gantry_worker_drain(self->worker);
    if (chance(50))
        gantry_worker_stop_jobs(self->worker, GANTRY_STOP_DRAIN);
    proc_wake(proc, world.now_us);
}
