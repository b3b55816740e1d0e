#include "broker/route.h"

#include "broker/slab.h"
#include "common/status.h"

#include <stdlib.h>

/* A number is the slot's generation, then the claim's bit, then the slot; the top bit is never set.
 * Generations begin at a place of the epoch's, far from those of the broker's other lives: a state
 * service may still answer what a former one asked. */
enum {
    SLOT_BITS = 23,
    CLAIM_BIT = 1 << SLOT_BITS,
    GENERATION_SHIFT = SLOT_BITS + 1,
    GENERATION_BITS = 63 - GENERATION_SHIFT,
    EPOCH_SHIFT = GENERATION_BITS - 32
};

static const uint64_t generation_mask = ((uint64_t)1 << GENERATION_BITS) - 1;

/* Every request lasts one of two lengths, so each list is in order of due time by itself. */
enum { QUICK, LONG, LISTS };

struct account {
    uint32_t count;
    uint64_t bytes;
};

struct routes {
    slab_t *slab;
    uint32_t requests_max;
    uint64_t bytes_max;
    uint64_t generation; /* of a slot that was never used */
    struct account accounts[ROUTE_PAYERS];
    struct link lists[LISTS];
};

routes_t *routes_new(uint32_t requests_max, uint64_t bytes_max, uint32_t own_max, uint32_t epoch)
{
    uint64_t slots = (uint64_t)requests_max * 2 + own_max;
    routes_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->requests_max = requests_max;
    self->bytes_max = bytes_max;
    self->generation = (uint64_t)epoch << EPOCH_SHIFT;
    for (int i = 0; i < LISTS; i++)
        link_init(&self->lists[i]);
    self->slab =
        slab_new(sizeof(struct route), slots < CLAIM_BIT ? (uint32_t)slots : (uint32_t)CLAIM_BIT);
    if (!self->slab)
        routes_destroy(&self);
    return self;
}

void routes_destroy(routes_t **self_p)
{
    routes_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (struct route *route; (route = routes_after(self, NULL));)
        routes_close(self, &route);
    slab_destroy(&self->slab);
    free(self);
}

enum route_room routes_room(const routes_t *self, enum route_payer payer, size_t size)
{
    const struct account *account = &self->accounts[payer];
    if (payer == ROUTE_OF_BROKER)
        return ROUTE_ROOM;
    if (account->count >= self->requests_max)
        return ROUTE_REQUESTS_FULL;
    return account->bytes && account->bytes + size > self->bytes_max ? ROUTE_BYTES_FULL
                                                                     : ROUTE_ROOM;
}

static uint64_t number_after(const routes_t *self, uint64_t number, uint32_t slot, bool claim)
{
    uint64_t last = number ? number >> GENERATION_SHIFT : self->generation;
    uint64_t generation = (last + 1) & generation_mask;
    return generation << GENERATION_SHIFT | (claim ? CLAIM_BIT : 0) | slot;
}

int routes_open(routes_t *self, enum route_payer payer, const struct header *header,
                zmq_msg_t *body, int64_t now_ms, struct route **ret_route)
{
    uint32_t slot;
    struct route *route = slab_take(self->slab, &slot);
    if (!route)
        return STATUS_BUSY;
    int list = verb_waits(header->verb) ? LONG : QUICK;
    route->number = number_after(self, route->number, slot, header->verb == VERB_CLAIM);
    kept_fill(&route->kept, header, body);
    route->size = kept_size(&route->kept);
    route->asker = route->state = (struct peer_ref){ 0 };
    route->claim = NULL;
    route->due_ms = now_ms + (list == LONG ? ROUTE_WAIT_MS : ROUTE_MS);
    route->payer = payer;
    route->open = true;
    link_init(&route->by_due);
    link_append(&self->lists[list], &route->by_due);
    self->accounts[payer].count++;
    self->accounts[payer].bytes += route->size;
    *ret_route = route;
    return 0;
}

static uint32_t slot_of(uint64_t number)
{
    return (uint32_t)(number & (CLAIM_BIT - 1));
}

void routes_close(routes_t *self, struct route **route_p)
{
    struct route *route = *route_p;
    *route_p = NULL;
    self->accounts[route->payer].count--;
    self->accounts[route->payer].bytes -= route->size;
    kept_clear(&route->kept);
    link_remove(&route->by_due);
    route->open = false;
    slab_give(self->slab, slot_of(route->number));
}

struct route *routes_find(const routes_t *self, uint64_t number)
{
    struct route *route = slab_at(self->slab, slot_of(number));
    return route && route->open && route->number == number ? route : NULL;
}

bool route_number_is_claim(uint64_t number)
{
    return number & CLAIM_BIT;
}

static struct route *first(const routes_t *self, int list)
{
    struct link *link = link_first(&self->lists[list]);
    return link ? link_owner(link, struct route, by_due) : NULL;
}

struct route *routes_due(const routes_t *self, int64_t now_ms)
{
    for (int i = 0; i < LISTS; i++) {
        struct route *route = first(self, i);
        if (route && route->due_ms <= now_ms)
            return route;
    }
    return NULL;
}

struct route *routes_after(const routes_t *self, const struct route *route)
{
    struct link *next = route ? route->by_due.after : self->lists[QUICK].after;
    if (next == &self->lists[QUICK])
        next = self->lists[LONG].after;
    if (next == &self->lists[LONG])
        return NULL;
    return link_owner(next, struct route, by_due);
}

uint32_t routes_count(const routes_t *self, enum route_payer payer)
{
    return self->accounts[payer].count;
}

uint64_t routes_bytes(const routes_t *self, enum route_payer payer)
{
    return self->accounts[payer].bytes;
}
