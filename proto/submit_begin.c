/* gantry_submit_begin: one try, the receipts to a callback. Calls that follow one another share a
 * message, since what a message costs, here and on all of its way, is then paid once for them. */
#include "proto/receipts.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/status.h"
#include "proto/mint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TICKETS_SIZE = 2 * TICKET_SIZE, /* token and id of a task */
    SPARES_MAX = 2048,
    OPEN_MAX = 65536,    /* calls */
    MERGE_BYTES = 65536, /* a message of more takes no further call */
    MERGE_MS = 1,        /* one that waits for so long takes none and goes */
};

struct begun {
    gantry_client_t *client;
    struct begun *next; /* in the same message */
    gantry_submitted_fn *done;
    void *arg;
    size_t count;
    struct gantry_receipt receipts[];
};
typedef struct begun begun_t;

/* Calls of one task are what there may be thousands of: their memory is kept for the next. */
static void begun_destroy(begun_t **self_p)
{
    begun_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    struct gathered *g = &self->client->gathered;
    if (self->count != 1 || g->spares == SPARES_MAX) {
        free(self);
        return;
    }
    self->next = g->spare;
    g->spare = self;
    g->spares++;
}

static begun_t *begun_new(gantry_client_t *client, size_t count)
{
    struct gathered *g = &client->gathered;
    begun_t *self = count == 1 ? g->spare : NULL;
    if (self) {
        g->spare = self->next;
        g->spares--;
    } else {
        self = malloc(sizeof *self + count * sizeof(struct gantry_receipt));
    }
    if (self)
        *self = (begun_t){ .client = client, .count = count };
    return self;
}

static size_t tasks_in(const begun_t *first)
{
    size_t count = 0;
    for (const begun_t *at = first; at; at = at->next)
        count += at->count;
    return count;
}

static void on_receipts(void *arg, const struct header *header, struct slice body)
{
    begun_t *at = arg;
    gantry_client_t *client = at->client;
    struct header said = *header;
    client->submits_open--;
    /* Of another broker than they were put together for: alone each may fit. */
    if (said.status == STATUS_TOO_LARGE && at->next) {
        said.status = STATUS_UNAVAILABLE;
        body = (struct slice){ 0 };
    }
    struct answer answer = answer_of(client, &said, body, tasks_in(at));
    while (at) {
        scoped(begun) self = at;
        at = at->next;
        client->heard++;
        client->open--;
        receipts_read(&answer, self->receipts, NULL, self->count);
        self->done(self->arg, (int)said.status, self->receipts, self->count);
    }
}

static int64_t left_ms(const struct gathered *g)
{
    int64_t left = g->timeout_ms - (clock_ms() - g->since_ms);
    return g->timeout_ms <= 0 ? 0 : left < 1 ? 1 : left;
}

int submit_flush(gantry_client_t *self)
{
    struct gathered *g = &self->gathered;
    if (!g->first)
        return 0;
    struct group group = { slice_of(g->service), g->priority };
    int r = task_send(self, &g->parcel, group, left_ms(g), on_receipts, g->first);
    if (r)
        return r;
    g->first = NULL;
    self->submits_open++;
    return 0;
}

void submit_end(gantry_client_t *self)
{
    const struct header header = { .status = STATUS_UNAVAILABLE };
    begun_t *first = self->gathered.first;
    self->gathered.first = NULL;
    self->submits_open++;
    if (first)
        on_receipts(first, &header, (struct slice){ 0 });
    for (begun_t *at = self->gathered.spare, *next; at; at = next) {
        next = at->next;
        free(at);
    }
}

static int wrong(gantry_client_t *client, size_t i, int status, struct fault fault)
{
    char message[160];
    (void)snprintf(message, sizeof message, "task %zu of the call: %s", i, fault.rule);
    return client_wrong(client, status, fault.field, message);
}

static bool same_group(struct group a, struct group b)
{
    return a.priority == b.priority && slice_equal(a.service, b.service);
}

static int check(gantry_client_t *client, const struct gantry_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fault fault = { "task", "is not of the first one's service and priority" };
        int r = task_check(&tasks[i], &fault);
        if (r == 0 && i > 0 && !same_group(task_group(&tasks[0]), task_group(&tasks[i])))
            r = STATUS_INVALID;
        if (r)
            return wrong(client, i, r, fault);
    }
    return 0;
}

static int pack_one(begun_t *self, const struct gantry_task *task, size_t i)
{
    gantry_client_t *client = self->client;
    uint8_t random[TICKETS_SIZE];
    char *id = self->receipts[i].id;
    struct fault fault;
    int r = task->token ? 0 : mint_take(&client->mint, random, TICKET_SIZE);
    if (r == 0 && !task->id)
        r = mint_take(&client->mint, random + TICKET_SIZE, TICKET_SIZE);
    if (r)
        return r;
    if (task->id)
        slice_copy(slice_of(task->id), id, sizeof self->receipts[i].id);
    else
        mint_uuid(random + TICKET_SIZE, id);
    r = task_pack(&client->gathered.parcel, client->body_max, task, id,
                  task->token ? task->token : random, &fault);
    return r > 0 ? wrong(client, i, r, fault) : r;
}

/* All of them or none. */
static int pack(begun_t *self, const struct gantry_task *tasks)
{
    struct gathered *g = &self->client->gathered;
    if (!g->first)
        parcel_start(&g->parcel);
    size_t mark = parcel_mark(&g->parcel);
    uint32_t count = g->parcel.count;
    int r = 0;
    for (size_t i = 0; r == 0 && i < self->count; i++)
        r = pack_one(self, &tasks[i], i);
    if (r) {
        parcel_cut(&g->parcel, mark);
        g->parcel.count = count;
        g->parcel.failed = false;
    }
    return r;
}

/* What the broker takes in a message is known from its first WELCOME on. */
static bool is_full(const gantry_client_t *client, size_t more)
{
    const struct parcel *parcel = &client->gathered.parcel;
    size_t most = client->batch_max;
    if (client->merge_max < most)
        most = client->merge_max;
    if (!client->welcomed)
        most = 1;
    return parcel->count + more > most || parcel_mark(parcel) > MERGE_BYTES;
}

/* Who joins one that waits for long would have the rest of its timeout only. */
static bool is_old(const struct gathered *g)
{
    return clock_ms() - g->since_ms >= MERGE_MS;
}

static bool rides_along(const begun_t *self, struct group group, int64_t timeout_ms)
{
    const struct gathered *g = &self->client->gathered;
    return g->first && !is_full(self->client, self->count) && g->timeout_ms == timeout_ms &&
           same_group(group, (struct group){ slice_of(g->service), g->priority }) && !is_old(g);
}

static int join(begun_t *self, const struct gantry_task *tasks, int64_t timeout_ms)
{
    gantry_client_t *client = self->client;
    struct group group = task_group(&tasks[0]);
    int r = rides_along(self, group, timeout_ms) ? pack(self, tasks) : STATUS_TOO_LARGE;
    if (r == STATUS_TOO_LARGE) { /* together, perhaps not alone */
        r = submit_flush(client);
        if (r)
            return r > 0 ? client_wrong(client, r, "", "too many calls are open") : r;
        r = pack(self, tasks);
    }
    struct gathered *g = &client->gathered;
    if (r)
        return r;
    if (g->first) {
        g->last->next = self;
    } else {
        g->first = self;
        g->priority = group.priority;
        slice_copy(group.service, g->service, sizeof g->service);
        g->timeout_ms = timeout_ms;
        g->since_ms = clock_ms();
    }
    g->last = self;
    return 0;
}

/* A lone call waits for nothing. */
static bool is_to_go(const gantry_client_t *self)
{
    return self->submits_open == 0 || is_full(self, 1);
}

int gantry_submit_begin(gantry_client_t *self, const struct gantry_task *tasks, size_t count,
                        int64_t timeout_ms, gantry_submitted_fn *done, void *arg)
{
    if (self->ending)
        return STATUS_UNAVAILABLE;
    if (count == 0)
        return client_wrong(self, STATUS_INVALID, "count", "no task given");
    if (count > self->batch_max)
        return client_wrong(self, STATUS_TOO_LARGE, "count",
                            "more tasks than the broker takes in a message");
    if (self->open >= OPEN_MAX)
        return client_wrong(self, STATUS_BUSY, "", "too many calls are open");
    int r = check(self, tasks, count);
    if (r)
        return r;
    scoped(begun) begun = begun_new(self, count);
    if (!begun)
        return -ENOMEM;
    begun->done = done;
    begun->arg = arg;
    r = join(begun, tasks, timeout_ms);
    if (r)
        return r;
    begun = NULL; /* on_receipts ends it */
    self->open++;
    if (is_to_go(self))
        (void)submit_flush(self); /* else it is tried again in each turn */
    return 0;
}
