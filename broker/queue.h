#pragma once
/* The services that workers here serve, each with what is known of its queue. Part of credit, which
 * alone changes a queue's figures; this is the table by name. */
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
    struct link eager;   /* in credit's ring while tries > 0 */
    struct link by_name;
};

enum { QUEUE_BUCKETS = 256 };

struct queues {
    uint32_t max;
    uint32_t count;
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
