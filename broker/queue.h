#pragma once
/* The services that workers here serve, each with what is known of its queue: the table by name,
 * and how many claims each is worth now (the rules: credit.h). Part of credit, which alone uses it
 * and holds the claims. */
#include "broker/kept.h"
#include "proto/list.h"

/* Lives while a worker serves it or a claim is out for it. */
struct queue {
    char name[KEPT_SERVICE_MAX + 1];
    uint32_t seats;
    uint32_t parked;
    uint32_t in_flight;
    uint32_t fresh;      /* of them, since the last look */
    uint32_t tries;      /* claims to hand out now, as far as there are any */
    bool ready;          /* may hold tasks */
    bool deep;           /* the last claim that came back brought all it asked for */
    bool told;           /* READY was heard since the last claim went out */
    struct link waiting; /* places of claims, longest parked first */
    struct link eager;   /* in the ring of all with tries > 0 */
    struct link by_name;
};

enum { QUEUE_BUCKETS = 256 };

struct queues {
    uint32_t max;
    uint32_t count;
    uint64_t looks; /* so far */
    struct link eager;
    struct link buckets[QUEUE_BUCKETS];
};

void queues_init(struct queues *self, uint32_t max);
/* NULL when nobody here serves it. */
struct queue *queues_find(struct queues *self, struct slice service);
/* Finds or makes; a new one is ready, since nothing is known of it. 0, STATUS_BUSY (max is
 * reached), STATUS_INVALID (the name is too long), -ENOMEM. */
int queues_open(struct queues *self, struct slice service, struct queue **ret_queue);
/* Frees it unless it has seats or claims in flight. */
void queues_release(struct queues *self, struct queue *queue);
/* Walks over all: NULL starts, NULL ends. */
struct queue *queues_after(const struct queues *self, const struct queue *queue);

/* It may hold something, as far as is known. */
void queues_try_ready(struct queues *self, struct queue *queue);
/* A READY for it was heard. */
void queues_on_ready(struct queues *self, struct queue *queue);
void queues_look(struct queues *self);
/* The queue whose longest parked claim is to go now, one try less; NULL: none. */
struct queue *queues_next(struct queues *self);

/* A claim goes out for it. Answers what to hand in when it comes back. */
uint64_t queues_send(struct queues *self, struct queue *queue);
void queues_take_back(const struct queues *self, struct queue *queue, uint64_t looks);
/* What a claim that comes back says of the queue. It brought all it asked for: */
void queues_on_full(struct queues *self, struct queue *queue);
/* It brought fewer, or nothing: */
void queues_on_dry(struct queues *self, struct queue *queue);
/* It failed, which says nothing: */
void queues_on_failed(struct queues *self, struct queue *queue);
