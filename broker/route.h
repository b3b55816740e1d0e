#pragma once
/* Requests in flight between those who ask and the state services. Each keeps its message until it
 * is answered, so that another state service can be asked when the first one dies. Knows no socket
 * and no clock: the caller passes the time in. Slots are kept in slabs; nothing is allocated per
 * request. */
#include "broker/kept.h"
#include "broker/peer.h"
#include "proto/list.h"

/* Limits are counted apart, so that waiting clients never shut out the results of workers. */
enum route_payer { ROUTE_OF_CLIENT, ROUTE_OF_WORKER, ROUTE_OF_BROKER, ROUTE_PAYERS };

enum { ROUTE_MS = 30000, ROUTE_WAIT_MS = 70000 };

struct claim;

struct route {
    uint64_t number;  /* request id towards the state service; never used twice, and below 2^63 */
    struct kept kept; /* header.request is the asker's own number */
    struct peer_ref asker; /* none: nobody wants the answer */
    struct peer_ref state; /* who was asked last */
    struct claim *claim;   /* of a CLAIM, else NULL */
    int64_t due_ms;
    size_t size; /* bytes that count, even when the body was moved on */
    enum route_payer payer;
    bool open;
    struct link by_due;
};

typedef struct routes routes_t;

/* NULL when out of memory. requests_max and bytes_max hold for clients and for workers, own_max for
 * the broker's own requests. epoch: random, another one after each start, so that no number of an
 * earlier life comes again. */
routes_t *routes_new(uint32_t requests_max, uint64_t bytes_max, uint32_t own_max, uint32_t epoch);
void routes_destroy(routes_t **self_p);

/* Is there room for another request of so many bytes? A single one is never refused for its bytes,
 * and the broker's own never for anything. */
enum route_room { ROUTE_ROOM, ROUTE_REQUESTS_FULL, ROUTE_BYTES_FULL };
enum route_room routes_room(const routes_t *self, enum route_payer payer, size_t size);

/* Takes the body (on 0 only). 0; STATUS_BUSY: no slot, or out of memory for one. */
int routes_open(routes_t *self, enum route_payer payer, const struct header *header,
                zmq_msg_t *body, int64_t now_ms, struct route **ret_route);
void routes_close(routes_t *self, struct route **route_p);

/* NULL when it is closed or never was. */
struct route *routes_find(const routes_t *self, uint64_t number);
/* Was it a CLAIM's? Also of one that is closed. */
bool route_number_is_claim(uint64_t number);

/* One whose time is over, or NULL. */
struct route *routes_due(const routes_t *self, int64_t now_ms);
/* Walks over all: NULL starts, NULL ends. The one returned may be closed once its successor was
 * asked for. */
struct route *routes_after(const routes_t *self, const struct route *route);

uint32_t routes_count(const routes_t *self, enum route_payer payer);
uint64_t routes_bytes(const routes_t *self, enum route_payer payer);
