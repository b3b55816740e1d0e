#pragma once
/* Credit: claims of workers that are parked until their queues have something, and what is known of
 * the queues. Decides which claim goes to a state service now; sends nothing, knows no socket and
 * no clock.
 *
 * A queue is "ready" when it may hold tasks: at first, after READY, at the regular look, and while
 * claims bring all they asked for, which makes it "deep". A claim that came back with fewer or none
 * although no READY was heard since the last one went out makes it "not ready". Parking in a ready
 * queue, a READY and the regular look each earn the queue a try; a try hands out the claim that has
 * waited longest. While a claim is out, parking earns nothing, and all READYs together one try,
 * made when it comes back: so claims bring what gathered meanwhile, and many READYs of one task
 * cost few claims. One that is still out at a look, at a state service that hangs, is not waited
 * for any more. A deep queue has as many claims out as there are.
 *
 * A claim stands in the queues of all services of its worker. Once handed out it stands in none; it
 * ends by credit_served or credit_drop, or comes back by credit_empty or credit_put_back. */
#include "broker/kept.h"
#include "broker/peer.h"

enum { CREDIT_SERVICES_MAX = 16, CREDIT_CLAIMS_MAX = 4 };

typedef struct credit credit_t;
typedef struct seat seat_t; /* a worker's place */

struct claim {
    struct kept kept;      /* as the worker said it */
    struct peer_ref owner; /* finds nobody when the worker has left since */
};

/* NULL when out of memory. At most queues_max services and claims_max claims at once. */
credit_t *credit_new(uint32_t queues_max, uint32_t claims_max);
/* Seats left are ended first. */
void credit_destroy(credit_t **self_p);

/* 0; STATUS_INVALID: none, more than CREDIT_SERVICES_MAX, or one twice; STATUS_BUSY: queues_max is
 * reached; -ENOMEM. Names are copied. */
int credit_join(credit_t *self, const struct slice *services, size_t count, struct peer_ref owner,
                seat_t **ret_seat);
/* Its parked claims end; those handed out have no owner any more, and end when they would come
 * back. */
void credit_leave(credit_t *self, seat_t **seat_p);

/* Takes the body (on 0 only). 0; STATUS_BUSY: CREDIT_CLAIMS_MAX claims of this worker are open, or
 * claims_max in all. */
int credit_park(credit_t *self, seat_t *seat, const struct header *header, zmq_msg_t *body);
/* A service has work. One that no worker here serves is not remembered. */
void credit_ready(credit_t *self, struct slice service);
/* Every queue may hold tasks that nobody told of, and gets a try when it has parked claims. */
void credit_look(credit_t *self);

/* Work for a service is on its way to a state service: the claim to send right behind it, unless
 * one is out already that went since the last look. False: none. */
bool credit_ride(credit_t *self, struct slice service, struct claim **ret_claim);
/* The claim to send now and the queue to name; false: none. */
bool credit_next(credit_t *self, struct claim **ret_claim, struct slice *ret_service);

/* What became of it; all take the claim. It brought as many tasks as it asked for: */
void credit_served(credit_t *self, struct claim **claim_p);
/* It brought fewer: they were the last. */
void credit_drained(credit_t *self, struct claim **claim_p);
/* Nothing waited: parked again at its old place, unless its worker has left. */
void credit_empty(credit_t *self, struct claim **claim_p);
/* It was answered with a refusal, or never. */
void credit_drop(credit_t *self, struct claim **claim_p);
/* It could not be sent at all: parked again, and not tried before something else happens. */
void credit_put_back(credit_t *self, struct claim **claim_p);

uint32_t credit_parked(const credit_t *self);
uint32_t seat_parked(const seat_t *seat);

struct credit_queue {
    struct slice service;
    uint32_t parked; /* claims that stand here, each counted in all its queues */
    uint32_t in_flight;
    bool ready;
};
typedef void credit_queue_fn(void *arg, const struct credit_queue *queue);
uint32_t credit_queues(const credit_t *self);
void credit_each(const credit_t *self, credit_queue_fn *each, void *arg);
