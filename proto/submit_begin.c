/* gantry_submit_begin: one message, one try, the receipts to a callback. */
#include "proto/receipts.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/mint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICKETS_SIZE = 2 * TICKET_SIZE }; /* token and id of a task */

struct begun {
    gantry_client_t *client;
    gantry_submitted_fn *done;
    void *arg;
    size_t count;
    struct gantry_receipt receipts[];
};
typedef struct begun begun_t;

static void begun_destroy(begun_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static void on_receipts(void *arg, const struct header *header, struct slice body)
{
    scoped(begun) self = arg;
    self->client->heard++;
    self->client->open--;
    receipts_read(self->client, header, body, self->receipts, NULL, self->count);
    self->done(self->arg, (int)header->status, self->receipts, self->count);
}

static bool same_group(const struct gantry_task *a, const struct gantry_task *b)
{
    struct group one = task_group(a);
    struct group other = task_group(b);
    return one.priority == other.priority && slice_equal(one.service, other.service);
}

static int wrong(gantry_client_t *client, size_t i, int status, struct fault fault)
{
    char message[160];
    (void)snprintf(message, sizeof message, "task %zu of the call: %s", i, fault.rule);
    return client_wrong(client, status, fault.field, message);
}

static int pack_one(begun_t *self, const struct gantry_task *tasks, size_t i,
                    const uint8_t random[TICKETS_SIZE])
{
    const struct gantry_task *task = &tasks[i];
    char *id = self->receipts[i].id;
    struct fault fault = { "task", "is not of the first one's service and priority" };
    int r = task_check(task, &fault);
    if (r == 0 && !same_group(&tasks[0], task))
        r = STATUS_INVALID;
    if (r)
        return wrong(self->client, i, r, fault);
    if (task->id)
        slice_copy(slice_of(task->id), id, sizeof self->receipts[i].id);
    else
        mint_uuid(random + TICKET_SIZE, id);
    r = task_pack(self->client, task, id, task->token ? task->token : random, &fault);
    return r > 0 ? wrong(self->client, i, r, fault) : r;
}

static int pack(begun_t *self, const struct gantry_task *tasks, uint8_t (*random)[TICKETS_SIZE])
{
    int r = mint_bytes(random, self->count * sizeof *random);
    parcel_start(&self->client->parcel);
    for (size_t i = 0; r == 0 && i < self->count; i++)
        r = pack_one(self, tasks, i, random[i]);
    return r;
}

/* Random bytes are cheapest when they are fetched for many at once, and lie behind the receipts. */
static begun_t *begun_new(gantry_client_t *client, size_t count)
{
    begun_t *self = malloc(sizeof *self + count * (sizeof(struct gantry_receipt) + TICKETS_SIZE));
    if (!self)
        return NULL;
    *self = (begun_t){ .client = client, .count = count };
    return self;
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
    scoped(begun) begun = begun_new(self, count);
    if (!begun)
        return -ENOMEM;
    int r = pack(begun, tasks, (void *)&begun->receipts[count]);
    if (r)
        return r;
    begun->done = done;
    begun->arg = arg;
    r = task_send(self, task_group(&tasks[0]), timeout_ms, on_receipts, begun);
    if (r)
        return r > 0 ? client_wrong(self, r, "", "too many calls are open") : r;
    self->open++;
    begun = NULL; /* on_receipts ends it */
    return 0;
}
