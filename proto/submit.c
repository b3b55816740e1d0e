/* gantry_submit: any number of tasks, in rounds. A round sends all that have no final receipt yet,
 * in messages of one group each, several under way; BUSY and UNAVAILABLE go into the next one. */
#include "proto/receipts.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/mint.h"

#include <errno.h>
#include <stdlib.h>

enum {
    WINDOW = 32,     /* messages under way */
    PAUSE_MS = 250,  /* after a refusal that does not say when to come again */
    NO_RECEIPT = -1, /* not yet */
    LOST_MS = 40000, /* longer than a broker holds a request: its answer was lost, ask again */
};

struct sending {
    struct submission *of;
    size_t first; /* in order */
    size_t count;
    struct sending *next; /* free ones */
};

struct submission {
    gantry_client_t *client;
    const struct gantry_task *tasks;
    struct gantry_receipt *receipts;
    uint8_t (*tickets)[2 * TICKET_SIZE]; /* random: token, kept over all rounds, and id */
    uint32_t *order;                     /* tasks of this round, a group's together */
    size_t count;                        /* of order */
    size_t next;                         /* first of order that is not sent */
    size_t under_way;
    int64_t deadline_ms;
    struct sending *free;
    struct sending sendings[WINDOW];
};
typedef struct submission submission_t;

static void submission_destroy(submission_t **self_p)
{
    submission_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->tickets);
    free(self->order);
    free(self);
}

static int compare_groups(struct group a, struct group b)
{
    if (a.priority != b.priority)
        return a.priority < b.priority ? -1 : 1;
    if (a.service.size != b.service.size)
        return a.service.size < b.service.size ? -1 : 1;
    return memcmp(a.service.data, b.service.data, a.service.size);
}

static int compare(const void *a, const void *b, void *submission)
{
    uint32_t i = *(const uint32_t *)a;
    uint32_t k = *(const uint32_t *)b;
    const struct gantry_task *all = ((const submission_t *)submission)->tasks;
    int r = compare_groups(task_group(&all[i]), task_group(&all[k]));
    return r ? r : (i > k) - (i < k);
}

/* 0, or STATUS_INVALID and a receipt that says so. */
static int name_task(submission_t *self, uint32_t i)
{
    const struct gantry_task *task = &self->tasks[i];
    struct gantry_receipt *receipt = &self->receipts[i];
    struct fault fault;
    *receipt = (struct gantry_receipt){ .status = NO_RECEIPT };
    if (task_check(task, &fault)) {
        receipt_refuse(receipt, STATUS_INVALID, fault.field, fault.rule);
        return STATUS_INVALID;
    }
    if (task->id)
        slice_copy(slice_of(task->id), receipt->id, sizeof receipt->id);
    else
        mint_uuid(self->tickets[i] + TICKET_SIZE, receipt->id);
    if (task->token)
        memcpy(self->tickets[i], task->token, TICKET_SIZE);
    return 0;
}

static int prepare(submission_t *self, size_t count)
{
    bool grouped = true; /* as most callers have them: nothing to sort then */
    int r = mint_bytes(self->tickets, count * sizeof *self->tickets);
    if (r)
        return r;
    for (uint32_t i = 0; i < count; i++) {
        if (name_task(self, i))
            continue;
        self->order[self->count++] = i;
        const uint32_t *last = &self->order[self->count - 1];
        grouped = grouped && (self->count < 2 || compare(last - 1, last, self) < 0);
    }
    if (!grouped)
        qsort_r(self->order, self->count, sizeof *self->order, compare, self);
    return 0;
}

/* NULL when out of memory. */
static submission_t *submission_new(gantry_client_t *client, const struct gantry_task *tasks,
                                    size_t count, struct gantry_receipt *receipts)
{
    submission_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->client = client;
    self->tasks = tasks;
    self->receipts = receipts;
    for (size_t i = 0; i < WINDOW; i++) {
        self->sendings[i].next = self->free;
        self->free = &self->sendings[i];
    }
    self->tickets = calloc(count, sizeof *self->tickets);
    self->order = calloc(count, sizeof *self->order);
    if (!self->tickets || !self->order)
        submission_destroy(&self);
    return self;
}

static void on_receipts(void *arg, const struct header *header, struct slice body)
{
    struct sending *sending = arg;
    submission_t *self = sending->of;
    self->client->heard++;
    struct answer answer = answer_of(self->client, header, body, sending->count);
    receipts_read(&answer, self->receipts, self->order + sending->first, sending->count);
    sending->next = self->free;
    self->free = sending;
    self->under_way--;
}

/* Packs tasks of one group from next on, as many as fit. One that never fits is refused when it
 * comes first; else it ends the message before it. 0 or -ENOMEM. */
static int pack_some(submission_t *self, struct group group, size_t *ret_count)
{
    size_t count = 0;
    parcel_start(&self->client->parcel);
    while (self->next + count < self->count && count < self->client->batch_max) {
        uint32_t i = self->order[self->next + count];
        struct fault fault;
        if (compare_groups(group, task_group(&self->tasks[i])))
            break;
        int r = task_pack(&self->client->parcel, self->client->body_max, &self->tasks[i],
                          self->receipts[i].id, self->tickets[i], &fault);
        if (r < 0)
            return r;
        if (r > 0 && count == 0)
            receipt_refuse(&self->receipts[self->order[self->next++]], r, fault.field, fault.rule);
        if (r > 0)
            break;
        count++;
    }
    *ret_count = count;
    return 0;
}

static int64_t left_ms(const submission_t *self)
{
    int64_t left = self->deadline_ms - clock_ms();
    return left < 1 ? 1 : left < LOST_MS ? left : LOST_MS;
}

static int send_some(submission_t *self)
{
    size_t count = 0;
    struct group group = task_group(&self->tasks[self->order[self->next]]);
    int r = pack_some(self, group, &count);
    if (r || count == 0)
        return r;
    struct sending *sending = self->free;
    *sending = (struct sending){ self, self->next, count, sending->next };
    (void)submit_flush(self->client);
    r = task_send(self->client, &self->client->parcel, group, left_ms(self), on_receipts, sending);
    if (r)
        return r;
    self->free = sending->next;
    self->under_way++;
    self->next += count;
    return 0;
}

/* Before the first WELCOME the broker's limits are not known, so nothing is packed. */
static bool may_send(const submission_t *self)
{
    return self->next < self->count && self->free && self->client->welcomed;
}

static bool over(const submission_t *self)
{
    return clock_ms() >= self->deadline_ms;
}

/* Messages whose answers are awaited end by their own time, which is the call's: so under_way
 * always comes to 0, and no callback is left behind. */
static int round_once(submission_t *self)
{
    int r = 0;
    self->next = 0;
    while (self->under_way || (r >= 0 && self->next < self->count && !over(self))) {
        r = r < 0 ? r
                  : 0; /* BUSY: other calls fill the session, and theirs end in the next turns */
        while (r == 0 && may_send(self) && !over(self))
            r = send_some(self);
        if (self->under_way || self->next < self->count)
            (void)client_turn(self->client, r ? PAUSE_MS : left_ms(self));
    }
    return r < 0 ? r : 0;
}

static bool again(int status)
{
    return status == NO_RECEIPT || status == STATUS_TIMEOUT || status == STATUS_BUSY ||
           status == STATUS_UNAVAILABLE;
}

/* Keeps in order what needs another round; answers how long to pause before it. */
static uint32_t keep_refused(submission_t *self)
{
    uint32_t pause = 0;
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct gantry_receipt *receipt = &self->receipts[self->order[i]];
        if (!again(receipt->status))
            continue;
        uint32_t wanted = receipt->retry_after_ms;
        if (wanted == 0 && receipt->status != STATUS_TIMEOUT)
            wanted = PAUSE_MS;
        pause = wanted > pause ? wanted : pause;
        self->order[kept++] = self->order[i];
    }
    self->count = kept;
    return pause;
}

static void pause_until(submission_t *self, int64_t until_ms)
{
    int64_t left = until_ms - clock_ms();
    while (left > 0) {
        (void)client_turn(self->client, left);
        left = until_ms - clock_ms();
    }
}

static int work(submission_t *self)
{
    for (;;) {
        int r = round_once(self);
        if (r)
            return r;
        int64_t until = clock_ms() + keep_refused(self);
        if (self->count == 0 || until >= self->deadline_ms)
            return 0;
        pause_until(self, until);
    }
}

static int judge(submission_t *self, size_t count)
{
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        struct gantry_receipt *receipt = &self->receipts[i];
        if (receipt->status == NO_RECEIPT)
            receipt_refuse(receipt, STATUS_TIMEOUT, "", status_text(STATUS_TIMEOUT));
        if (receipt->status == STATUS_TIMEOUT)
            r = client_refused(self->client, STATUS_TIMEOUT, (struct slice){ 0 });
    }
    return r;
}

int gantry_submit(gantry_client_t *self, const struct gantry_task *tasks, size_t count,
                  struct gantry_receipt *receipts, int64_t timeout_ms)
{
    scoped(submission) submission = NULL;
    if (self->turning)
        return -EDEADLK;
    if (count == 0)
        return 0;
    if (count > UINT32_MAX)
        return -E2BIG;
    submission = submission_new(self, tasks, count, receipts);
    if (!submission)
        return -ENOMEM;
    submission->deadline_ms = client_deadline(timeout_ms);
    int r = prepare(submission, count);
    if (r == 0)
        r = work(submission);
    return r ? r : judge(submission, count);
}
