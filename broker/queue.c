#include "broker/queue.h"

#include "common/status.h"

#include <errno.h>
#include <stdlib.h>

void queues_init(struct queues *self, uint32_t max)
{
    self->max = max;
    self->count = 0;
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
