/* Somebody at a shell: libgantry's calls that wait. One in a world; it drives the world while it
 * waits, so its calls run whole, as they are. */
#include "proto/gantry.h"

#include "common/status.h"
#include "tests/sim/people.h"

#include <assert.h>

enum { TRIES_MS = 40000, PATIENCE_MS = 200000, BATCH_MOST = 5, ACTIONS_MOST = 6 };

struct operator
{
    gantry_client_t *client;
    struct order *orders[ORDERS_MAX];
    size_t count;
};

static bool fine(int status)
{
    return status == 0 || status == STATUS_TIMEOUT || status == STATUS_UNAVAILABLE ||
           status == STATUS_BUSY;
}

/* Any tasks at once: they are sorted into messages, and handed in again until they are kept. */
static void submit(struct operator* self, bool patient)
{
    struct gantry_task tasks[BATCH_MOST] = { 0 };
    struct gantry_receipt receipts[BATCH_MOST];
    size_t first = self->count, count = (size_t)roll_between(1, BATCH_MOST);
    for (size_t i = 0; i < count; i++) {
        struct order *order = order_new();
        order->task = chance(50) ? "sim.work" : "aux.work";
        order->priority = (int)roll(3);
        order->acts[0] = (struct behaviour){ chance(80) ? ACT_DONE : ACT_RETRY, roll(SECOND_US) };
        order->acts[1] = order->acts[2] = order->acts[3] = order->acts[0];
        self->orders[self->count++] = order;
        tasks[i] = (struct gantry_task){ .id = order->id,
                                         .task = order->task,
                                         .priority = (enum gantry_priority)order->priority };
    }
    int r = gantry_submit(self->client, tasks, count, receipts, patient ? PATIENCE_MS : TRIES_MS);
    note("operator submits", NULL, (int64_t)count, r);
    if (!fine(r) || (patient && r))
        fail("gantry_submit: %d", r);
    for (size_t i = 0; i < count; i++) {
        self->orders[first + i]->receipt = receipts[i].status == 0;
        if (!fine(receipts[i].status) || (r == 0 && receipts[i].status == STATUS_TIMEOUT))
            fail("%s: gantry_submit says %d, its receipt %d", receipts[i].id, r,
                 receipts[i].status);
    }
}

/* What is told to be cancelled, or on the way to it, does not end otherwise. */
static void cancel(struct operator* self)
{
    struct order *order = &check.orders[roll(check.orders_count)];
    gantry_record_t *record = NULL;
    int r = gantry_cancel(self->client, order->id, NULL, TRIES_MS, &record);
    note("operator cancels", NULL, order - check.orders, r);
    if (r == 0)
        check_cancelled(order, slice_of(gantry_record_stage(record, 0)->state));
    else if (!fine(r) && r != STATUS_NOT_FOUND && r != STATUS_CONFLICT)
        fail("%s: gantry_cancel: %d", order->id, r);
    gantry_record_destroy(&record);
}

static void get(struct operator* self)
{
    const struct order *order = &check.orders[roll(check.orders_count)];
    bool accepted = order->receipt;
    gantry_record_t *record = NULL;
    int r = gantry_get(self->client, order->id, TRIES_MS, &record);
    if (!fine(r) && r != STATUS_NOT_FOUND)
        fail("%s: gantry_get: %d", order->id, r);
    if (r == STATUS_NOT_FOUND && accepted && !check.rolled_back)
        fail("%s: accepted, and not found", order->id);
    gantry_record_destroy(&record);
}

static void wait_for(struct operator* self, struct order *order, int64_t timeout_ms)
{
    gantry_record_t *record = NULL;
    int r = gantry_wait(self->client, order->id, order->task, timeout_ms, &record);
    note("operator waited", NULL, order - check.orders, r);
    if (r == 0)
        check_told(order, slice_of(gantry_record_stage(record, 0)->state));
    else if (!fine(r) && r != STATUS_NOT_FOUND)
        fail("%s: gantry_wait: %d", order->id, r);
    else if (timeout_ms == PATIENCE_MS && !check.rolled_back)
        fail("%s: gantry_wait was patient, and got %d", order->id, r);
    gantry_record_destroy(&record);
}

static void act(struct operator* self)
{
    int64_t what = roll(4);
    if (what == 0)
        submit(self, false);
    else if (what == 1)
        cancel(self);
    else if (what == 2)
        get(self);
    else if (self->count)
        wait_for(self, self->orders[roll((int64_t)self->count)], roll_between(1, 5000));
}

static int64_t step(struct proc *proc)
{
    (void)proc;
    return INT64_MAX; /* it looks for itself */
}

static void crash(struct proc *proc)
{
    (void)proc;
}

void operator_run(int64_t calm_us)
{
    char brokers[ENDPOINTS_TEXT];
    struct operator self = { 0 };
    struct proc *proc = proc_nth(ROLE_OPERATOR, 0);
    int64_t actions = roll_between(1, ACTIONS_MOST);
    proc->step = step;
    proc->crash = crash;
    proc_start(proc, &self);
    struct proc *before = proc_enter(proc);
    endpoints_of(home_of(proc), ROLE_CLIENT, brokers);
    self.client = gantry_client_new(brokers);
    assert(self.client);
    while (actions-- && world.now_us < calm_us && !world.failed) {
        proc_block(NULL, roll(calm_us / 4));
        act(&self);
    }
    if (world.now_us < calm_us)
        proc_block(NULL, calm_us - world.now_us);
    if (!world.failed && self.count + BATCH_MOST < ORDERS_MAX / 2)
        submit(&self, true);
    for (size_t i = 0; i < self.count && !world.failed; i++)
        if (self.orders[i]->receipt)
            wait_for(&self, self.orders[i], PATIENCE_MS);
    gantry_client_destroy(&self.client);
    proc_leave(before);
    proc_crash(proc);
}
