/* A client: the real libgantry's. What it wants it hands in until it has a receipt, waits for the
 * end, and after a crash begins anew under the same tokens. */
#include "proto/gantry.h"

#include "common/status.h"
#include "tests/sim/people.h"

#include <assert.h>
#include <stdlib.h>

enum { WANTS_MAX = 32, AGAIN_US = 100000, SUBMIT_MS = 15000, SPINS_MAX = 1000, TOGETHER_MAX = 4 };

enum want_state { WANT_LATER, WANT_SENT, WANT_WAITED, WANT_TOLD };

struct want {
    struct order *order;
    uint8_t token[WIRE_SUBMIT_TOKEN_SIZE];
    enum want_state state;
    int64_t due_us;
    bool wants_cancel;
};

struct call;

struct person {
    struct proc *proc;
    gantry_client_t *client;
    struct call *calls; /* begun and not answered */
    bool dying;
};

/* A call that was begun: answered exactly once. */
struct call {
    struct call *next, **before;
    struct person *person;
    struct want *wants[WANTS_MAX];
    size_t count;
    unsigned answers;
};

static struct {
    struct want wants[WANTS_MAX];
    size_t count;
} all[CLIENTS_MAX];

static struct call *call_new(struct person *person)
{
    struct call *call = calloc(1, sizeof *call);
    assert(call);
    call->person = person;
    check.begun++;
    return call;
}

static void submit(struct person *self, struct want **wants, size_t count);

static void wait_for(struct person *self, struct want *want);

static void on_waited(void *arg, int status, const gantry_record_t *record)
{
    struct call *call = arg;
    struct person *self = call->person;
    struct want *want = call->wants[0];
    check.answered++;
    free(call);
    if (self->dying)
        return;
    note("is told of the end", self->proc, want->order - check.orders, status);
    if (status == 0 && gantry_record_count(record) == 1) {
        want->state = WANT_TOLD;
        check_told(want->order, slice_of(gantry_record_stage(record, 0)->state));
    } else if (status == STATUS_NOT_FOUND && check.rolled_back) {
        want->state = WANT_LATER; /* the store forgot it: hand it in again */
        want->due_us = world.now_us + AGAIN_US;
    } else {
        fail("%s: client%u waits, and is told %d", want->order->id, self->proc->number, status);
    }
}

static void wait_for(struct person *self, struct want *want)
{
    struct call *call = call_new(self);
    call->wants[call->count++] = want;
    want->state = WANT_WAITED;
    int r = gantry_wait_begin(self->client, want->order->id, chance(50) ? want->order->task : NULL,
                              0, on_waited, call);
    if (r)
        fail("gantry_wait_begin: %d", r);
}

static void on_receipt(struct person *self, struct want *want, const struct gantry_receipt *receipt)
{
    if (strcmp(receipt->id, want->order->id) != 0)
        fail("%s: its receipt is of %s", want->order->id, receipt->id);
    if (receipt->status == 0) {
        want->order->receipt = true;
        wait_for(self, want);
        return;
    }
    if (receipt->status != STATUS_BUSY && receipt->status != STATUS_UNAVAILABLE &&
        receipt->status != STATUS_TIMEOUT)
        fail("%s: refused with %d (%s)", want->order->id, receipt->status, receipt->message);
    want->state = WANT_LATER;
    want->due_us = world.now_us + AGAIN_US;
}

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t count)
{
    struct call *call = arg;
    struct person *self = call->person;
    check.answered++;
    if (count != call->count)
        fail("receipts for %zu of %zu tasks", count, call->count);
    note("has receipts", self->proc, (int64_t)count, status);
    for (size_t i = 0; i < count && !self->dying; i++)
        on_receipt(self, call->wants[i], &receipts[i]);
    free(call);
}

static void submit(struct person *self, struct want **wants, size_t count)
{
    struct gantry_task tasks[WANTS_MAX];
    struct call *call = call_new(self);
    for (size_t i = 0; i < count; i++) {
        const struct order *order = wants[i]->order;
        tasks[i] = (struct gantry_task){
            .id = order->id,
            .task = order->task,
            .token = wants[i]->token,
            .priority = (enum gantry_priority)order->priority,
            .delay_ms = (uint64_t)order->delay_ms,
            .schedule_to_start_ms = (uint64_t)order->start_ms,
            .schedule_to_close_ms = (uint64_t)order->close_ms,
            .failures_max = order->failures_max,
            .retry_ms = order->retry_ms,
        };
        wants[i]->state = WANT_SENT;
        call->wants[call->count++] = wants[i];
    }
    int r = gantry_submit_begin(self->client, tasks, count, SUBMIT_MS, on_submitted, call);
    if (r)
        fail("gantry_submit_begin: %d", r);
}

static bool alike(const struct order *a, const struct order *b)
{
    return a->task == b->task && a->priority == b->priority;
}

/* All that is due and goes into one message with the first. */
static void submit_due(struct person *self)
{
    struct want *some[WANTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < all[self->proc->number].count; i++) {
        struct want *want = &all[self->proc->number].wants[i];
        if (want->state == WANT_LATER && want->due_us <= world.now_us &&
            (int64_t)count < broker_rules.batch && count < TOGETHER_MAX &&
            (count == 0 || alike(some[0]->order, want->order)))
            some[count++] = want;
    }
    if (count)
        submit(self, some, count);
}

static int64_t next_due(const struct person *self)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < all[self->proc->number].count; i++) {
        const struct want *want = &all[self->proc->number].wants[i];
        if (want->state == WANT_LATER && want->due_us < due)
            due = want->due_us;
    }
    return due;
}

static int64_t step(struct proc *proc)
{
    struct person *self = proc->self;
    int spins = 0;
    submit_due(self);
    do {
        proc->poll_us = 0;
        (void)gantry_client_turn(self->client, 1 << 30);
    } while (proc->poll_us == 0 && ++spins < SPINS_MAX && !world.failed);
    if (spins == SPINS_MAX)
        fail("client%u turns and turns without waiting", proc->number);
    int64_t due = next_due(self), poll = world.now_us + proc->poll_us;
    return due < poll ? due : poll;
}

static void crash(struct proc *proc)
{
    struct person *self = proc->self;
    self->dying = true;
    gantry_client_destroy(&self->client);
    for (size_t i = 0; i < all[proc->number].count; i++) {
        struct want *want = &all[proc->number].wants[i];
        if (want->state == WANT_TOLD)
            continue;
        want->state = WANT_LATER;
        if (want->due_us < world.now_us)
            want->due_us = world.now_us + roll(SECOND_US);
    }
    free(self);
}

void client_start(struct proc *proc)
{
    char brokers[ENDPOINTS_TEXT];
    struct person *self = calloc(1, sizeof *self);
    assert(self);
    self->proc = proc;
    proc->step = step;
    proc->crash = crash;
    proc_start(proc, self);
    struct proc *before = proc_enter(proc);
    endpoints_of(home_of(proc), ROLE_CLIENT, brokers);
    self->client = gantry_client_new(brokers);
    assert(self->client);
    proc_leave(before);
}

void clients_begin(void)
{
    memset(all, 0, sizeof all);
}

void client_wants(unsigned number, struct order *order, int64_t at_us)
{
    assert(all[number].count < WANTS_MAX);
    struct want *want = &all[number].wants[all[number].count++];
    *want = (struct want){ .order = order, .due_us = at_us };
    for (size_t i = 0; i < sizeof want->token; i++)
        want->token[i] = (uint8_t)roll_bits();
    proc_wake(proc_nth(ROLE_CLIENT, number), at_us);
}

bool clients_content(void)
{
    for (int c = 0; c < CLIENTS_MAX; c++)
        for (size_t i = 0; i < all[c].count; i++)
            if (all[c].wants[i].state != WANT_TOLD)
                return false;
    return true;
}

void clients_note_open(void)
{
    for (unsigned c = 0; c < CLIENTS_MAX; c++)
        for (size_t i = 0; i < all[c].count; i++)
            if (all[c].wants[i].state != WANT_TOLD)
                note("wants still", proc_nth(ROLE_CLIENT, c), all[c].wants[i].order - check.orders,
                     all[c].wants[i].state);
}
