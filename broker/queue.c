#include "broker/queue.h"

#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

void queues_init(struct queues *self, uint32_t max)
{
    self->max = max;
    self->count = 0;
    self->looks = 0;
    link_init(&self->eager);
    for (int i = 0; i < QUEUE_BUCKETS; i++)
        link_init(&self->buckets[i]);
}

static size_t bucket_of(struct slice service)
{
    return slice_hash(service) % QUEUE_BUCKETS;
}

struct queue *queues_find(struct queues *self, struct slice service)
{
    struct link *bucket = &self->buckets[bucket_of(service)];
    for (struct link *at = bucket->after; at != bucket; at = at->after) {
        struct queue *queue = link_owner(at, struct queue, by_name);
        if (slice_is(service, queue->name))
            return queue;
    }
    return NULL;
}

static int make(struct queues *self, struct slice service, struct queue **ret_queue)
{
    if (self->count == self->max)
        return STATUS_BUSY;
    struct queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return -ENOMEM;
    if (!slice_copy(service, queue->name, sizeof queue->name)) {
        free(queue);
        return STATUS_INVALID;
    }
    queue->ready = true;
    link_init(&queue->waiting);
    link_init(&queue->eager);
    link_init(&queue->by_name);
    link_append(&self->buckets[bucket_of(service)], &queue->by_name);
    self->count++;
    *ret_queue = queue;
    return 0;
}

int queues_open(struct queues *self, struct slice service, struct queue **ret_queue)
{
    struct queue *queue = queues_find(self, service);
    if (!queue)
        return make(self, service, ret_queue);
    *ret_queue = queue;
    return 0;
}

void queues_release(struct queues *self, struct queue *queue)
{
    if (queue->seats || queue->in_flight)
        return;
    link_remove(&queue->eager);
    link_remove(&queue->by_name);
    self->count--;
    free(queue);
}

struct queue *queues_after(const struct queues *self, const struct queue *queue)
{
    size_t bucket = queue ? bucket_of(slice_of(queue->name)) : 0;
    struct link *at = queue ? queue->by_name.after : self->buckets[0].after;
    while (at == &self->buckets[bucket]) {
        if (++bucket == QUEUE_BUCKETS)
            return NULL;
        at = self->buckets[bucket].after;
    }
    return link_owner(at, struct queue, by_name);
}

static void earn_try(struct queues *self, struct queue *queue)
{
    if (!queue->parked)
        return;
    if (queue->tries++ == 0)
        link_append(&self->eager, &queue->eager);
}

/* Only a queue that is known to be deep gets several claims at a time: else the one that is out may
 * well bring it all. One that is still out at a look is not waited for any more: its state service
 * may hang, and others have tasks. */
static void may_hold(struct queues *self, struct queue *queue)
{
    if (queue->deep || (!queue->fresh && !queue->tries))
        earn_try(self, queue);
}

void queues_try_ready(struct queues *self, struct queue *queue)
{
    if (queue->ready)
        may_hold(self, queue);
}

void queues_on_ready(struct queues *self, struct queue *queue)
{
    queue->ready = queue->told = true;
    may_hold(self, queue);
}

/* Ready, so that a claim which finds one queue empty goes on to the next: else the first queue of a
 * lone worker would take every look. */
void queues_look(struct queues *self)
{
    self->looks++;
    for (struct queue *queue = NULL; (queue = queues_after(self, queue));) {
        queue->fresh = 0;
        queue->ready = true;
        if (!queue->tries)
            earn_try(self, queue);
    }
}

struct queue *queues_next(struct queues *self)
{
    for (struct link *link; (link = link_first(&self->eager));) {
        struct queue *queue = link_owner(link, struct queue, eager);
        if (!queue->parked)
            queue->tries = 0;
        link_remove(link);
        if (!queue->tries)
            continue;
        if (--queue->tries)
            link_append(&self->eager, link);
        return queue;
    }
    return NULL;
}

uint64_t queues_send(struct queues *self, struct queue *queue)
{
    queue->in_flight++;
    queue->fresh++;
    queue->told = false;
    return self->looks;
}

void queues_take_back(const struct queues *self, struct queue *queue, uint64_t looks)
{
    queue->in_flight--;
    if (looks == self->looks)
        queue->fresh--;
}

/* A second one in a row that was full: twice as many each time, so that a deep queue soon has all
 * the claims there are. */
void queues_on_full(struct queues *self, struct queue *queue)
{
    earn_try(self, queue);
    if (queue->deep)
        earn_try(self, queue);
    queue->ready = queue->deep = true;
}

/* Nothing is left; unless a READY was heard since the last claim went out: that may be of a task
 * which they all came too early for. */
void queues_on_dry(struct queues *self, struct queue *queue)
{
    queue->deep = false;
    if (queue->told) {
        earn_try(self, queue);
        return;
    }
    queue->ready = false;
    queue->tries = 0;
    link_remove(&queue->eager);
}

void queues_on_failed(struct queues *self, struct queue *queue)
{
    if (queue->told)
        earn_try(self, queue);
}
