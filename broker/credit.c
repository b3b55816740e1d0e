#include "broker/credit.h"

#include "broker/queue.h"
#include "broker/slab.h"
#include "common/status.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct entry;

/* Where a claim stands in one queue. */
struct place {
    struct link link;
    struct entry *entry;
};

struct entry {
    struct claim claim;
    uint32_t index;      /* in the slab */
    uint64_t age;        /* grows with every claim: the order in a queue */
    seat_t *seat;        /* NULL: its worker has left */
    struct queue *queue; /* handed out for it; NULL: parked */
    uint64_t looks;      /* from when it went out */
    struct link by_seat;
    struct place places[CREDIT_SERVICES_MAX]; /* as the seat's queues */
};

struct seat {
    struct peer_ref owner;
    uint32_t open;   /* claims parked or handed out */
    uint32_t parked; /* of them */
    uint32_t
        turn; /* which service is tried first: each in turn, so that no busy one starves another */
    uint32_t count;
    struct queue *queues[CREDIT_SERVICES_MAX];
    struct link entries;
    struct link by_credit;
};

struct credit {
    slab_t *entries;
    uint32_t parked;
    uint64_t age;
    struct link seats;
    struct queues queues;
};

credit_t *credit_new(uint32_t queues_max, uint32_t claims_max)
{
    credit_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    link_init(&self->seats);
    queues_init(&self->queues, queues_max);
    self->entries = slab_new(sizeof(struct entry), claims_max);
    if (!self->entries)
        credit_destroy(&self);
    return self;
}

static void end_entry(credit_t *self, struct entry *entry)
{
    if (entry->seat)
        entry->seat->open--;
    link_remove(&entry->by_seat);
    kept_clear(&entry->claim.kept);
    entry->queue = NULL;
    slab_give(self->entries, entry->index);
}

/* Those out have no seat; with nobody left to bring them back they end here. */
static void end_entries_out(credit_t *self)
{
    for (uint32_t i = 0; i < slab_reach(self->entries); i++) {
        struct entry *entry = slab_at(self->entries, i);
        struct queue *queue = entry->queue;
        if (!queue)
            continue;
        queues_take_back(&self->queues, queue, entry->looks);
        end_entry(self, entry);
        queues_release(&self->queues, queue);
    }
}

void credit_destroy(credit_t **self_p)
{
    credit_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (struct link *link; (link = link_first(&self->seats));) {
        seat_t *seat = link_owner(link, struct seat, by_credit);
        credit_leave(self, &seat);
    }
    if (self->entries)
        end_entries_out(self);
    slab_destroy(&self->entries);
    free(self);
}

static bool serves(const seat_t *seat, const struct queue *queue)
{
    for (uint32_t i = 0; i < seat->count; i++)
        if (seat->queues[i] == queue)
            return true;
    return false;
}

static int add_service(credit_t *self, seat_t *seat, struct slice service)
{
    struct queue *queue;
    int r = queues_open(&self->queues, service, &queue);
    if (r)
        return r;
    if (serves(seat, queue))
        return STATUS_INVALID;
    queue->seats++;
    seat->queues[seat->count++] = queue;
    return 0;
}

int credit_join(credit_t *self, const struct slice *services, size_t count, struct peer_ref owner,
                seat_t **ret_seat)
{
    if (count == 0 || count > CREDIT_SERVICES_MAX)
        return STATUS_INVALID;
    seat_t *seat = calloc(1, sizeof *seat);
    if (!seat)
        return -ENOMEM;
    seat->owner = owner;
    link_init(&seat->entries);
    link_init(&seat->by_credit);
    link_append(&self->seats, &seat->by_credit);
    for (size_t i = 0; i < count; i++) {
        int r = add_service(self, seat, services[i]);
        if (r) {
            credit_leave(self, &seat);
            return r;
        }
    }
    *ret_seat = seat;
    return 0;
}

static void unpark(credit_t *self, struct entry *entry)
{
    seat_t *seat = entry->seat;
    for (uint32_t i = 0; i < seat->count; i++) {
        link_remove(&entry->places[i].link);
        seat->queues[i]->parked--;
    }
    seat->parked--;
    self->parked--;
}

void credit_leave(credit_t *self, seat_t **seat_p)
{
    seat_t *seat = *seat_p;
    *seat_p = NULL;
    if (!seat)
        return;
    for (struct link *link; (link = link_first(&seat->entries));) {
        struct entry *entry = link_owner(link, struct entry, by_seat);
        if (entry->queue) {
            entry->seat = NULL;
            link_remove(link);
        } else {
            unpark(self, entry);
            end_entry(self, entry);
        }
    }
    for (uint32_t i = 0; i < seat->count; i++) {
        seat->queues[i]->seats--;
        queues_release(&self->queues, seat->queues[i]);
    }
    link_remove(&seat->by_credit);
    free(seat);
}

/* From the front, since what comes back was among the oldest when it went. */
static void stand_in_line(struct queue *queue, struct place *place)
{
    struct link *at = queue->waiting.before;
    if (at != &queue->waiting &&
        link_owner(at, struct place, link)->entry->age > place->entry->age) {
        at = queue->waiting.after;
        while (link_owner(at, struct place, link)->entry->age < place->entry->age)
            at = at->after;
        link_append(at, &place->link);
    } else {
        link_append(&queue->waiting, &place->link);
    }
    queue->parked++;
}

static void stand(credit_t *self, struct entry *entry)
{
    seat_t *seat = entry->seat;
    for (uint32_t i = 0; i < seat->count; i++)
        stand_in_line(seat->queues[i], &entry->places[i]);
    seat->parked++;
    self->parked++;
}

static void try_ready_queues(credit_t *self, seat_t *seat)
{
    uint32_t first = seat->turn++;
    for (uint32_t i = 0; i < seat->count; i++)
        queues_try_ready(&self->queues, seat->queues[(first + i) % seat->count]);
}

int credit_park(credit_t *self, seat_t *seat, const struct header *header, zmq_msg_t *body)
{
    uint32_t index;
    struct entry *entry = seat->open < CREDIT_CLAIMS_MAX ? slab_take(self->entries, &index) : NULL;
    if (!entry)
        return STATUS_BUSY;
    kept_fill(&entry->claim.kept, header, body);
    entry->claim.owner = seat->owner;
    entry->index = index;
    entry->age = self->age++;
    entry->seat = seat;
    entry->queue = NULL;
    for (uint32_t i = 0; i < seat->count; i++) {
        entry->places[i].entry = entry;
        link_init(&entry->places[i].link);
    }
    link_init(&entry->by_seat);
    link_append(&seat->entries, &entry->by_seat);
    seat->open++;
    stand(self, entry);
    try_ready_queues(self, seat);
    return 0;
}

void credit_ready(credit_t *self, struct slice service)
{
    struct queue *queue = queues_find(&self->queues, service);
    if (queue)
        queues_on_ready(&self->queues, queue);
}

void credit_look(credit_t *self)
{
    queues_look(&self->queues);
}

static struct claim *hand_out(credit_t *self, struct queue *queue)
{
    struct link *longest = link_first(&queue->waiting);
    assert(longest); /* parked counts who stands there */
    struct entry *entry = link_owner(longest, struct place, link)->entry;
    unpark(self, entry);
    entry->queue = queue;
    entry->looks = queues_send(&self->queues, queue);
    return &entry->claim;
}

bool credit_ride(credit_t *self, struct slice service, struct claim **ret_claim)
{
    struct queue *queue = queues_find(&self->queues, service);
    if (!queue || !queue->parked || queue->fresh)
        return false;
    *ret_claim = hand_out(self, queue);
    return true;
}

bool credit_next(credit_t *self, struct claim **ret_claim, struct slice *ret_service)
{
    struct queue *queue = queues_next(&self->queues);
    if (!queue)
        return false;
    *ret_claim = hand_out(self, queue);
    *ret_service = slice_of(queue->name);
    return true;
}

static void end_claim(credit_t *self, struct claim **claim_p)
{
    struct entry *entry = link_owner(*claim_p, struct entry, claim);
    struct queue *queue = entry->queue;
    *claim_p = NULL;
    queues_take_back(&self->queues, queue, entry->looks);
    end_entry(self, entry);
    queues_release(&self->queues, queue);
}

void credit_drop(credit_t *self, struct claim **claim_p)
{
    struct entry *entry = link_owner(*claim_p, struct entry, claim);
    queues_on_failed(&self->queues, entry->queue);
    end_claim(self, claim_p);
}

void credit_served(credit_t *self, struct claim **claim_p)
{
    struct entry *entry = link_owner(*claim_p, struct entry, claim);
    queues_on_full(&self->queues, entry->queue);
    end_claim(self, claim_p);
}

/* Parked again at its old place; false: its worker has left, and it ended. */
static bool stand_again(credit_t *self, struct claim **claim_p)
{
    struct entry *entry = link_owner(*claim_p, struct entry, claim);
    if (!entry->seat) {
        end_claim(self, claim_p);
        return false;
    }
    *claim_p = NULL;
    queues_take_back(&self->queues, entry->queue, entry->looks);
    entry->queue = NULL;
    stand(self, entry);
    return true;
}

void credit_drained(credit_t *self, struct claim **claim_p)
{
    struct entry *entry = link_owner(*claim_p, struct entry, claim);
    queues_on_dry(&self->queues, entry->queue);
    end_claim(self, claim_p);
}

void credit_empty(credit_t *self, struct claim **claim_p)
{
    struct entry *entry = link_owner(*claim_p, struct entry, claim);
    queues_on_dry(&self->queues, entry->queue);
    if (stand_again(self, claim_p))
        try_ready_queues(self, entry->seat);
}

void credit_put_back(credit_t *self, struct claim **claim_p)
{
    (void)stand_again(self, claim_p);
}

uint32_t credit_parked(const credit_t *self)
{
    return self->parked;
}

uint32_t seat_parked(const seat_t *seat)
{
    return seat->parked;
}

uint32_t credit_queues(const credit_t *self)
{
    return self->queues.count;
}

void credit_each(const credit_t *self, credit_queue_fn *each, void *arg)
{
    for (struct queue *queue = NULL; (queue = queues_after(&self->queues, queue));) {
        struct credit_queue figures = { .service = slice_of(queue->name),
                                        .parked = queue->parked,
                                        .in_flight = queue->in_flight,
                                        .ready = queue->ready };
        each(arg, &figures);
    }
}
