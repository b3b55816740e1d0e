#pragma once
/* Credit by hand: workers that join and park, and a look at the claim that goes next. */
#include "tests/unit/test.h"

#include "broker/credit.h"
#include "common/status.h"

enum { QUEUES = 8, CLAIMS = 64 };

/* A worker: its seat, and its claims' requests numbered by the caller. */
static inline seat_t *join(credit_t *credit, uint32_t worker, const char *one, const char *two)
{
    struct slice services[] = { slice_of(one), slice_of(two) };
    struct peer_ref owner = { worker, 1 };
    seat_t *seat = NULL;
    CHECK_INT(credit_join(credit, services, two ? 2 : 1, owner, &seat), 0);
    return seat;
}

static inline int park(credit_t *credit, seat_t *seat, uint64_t request)
{
    struct header header = { .verb = VERB_CLAIM, .request = request, .count = 1 };
    zmq_msg_t body;
    zmq_msg_init_size(&body, 100);
    int r = credit_park(credit, seat, &header, &body);
    zmq_msg_close(&body);
    return r;
}

static inline uint64_t request_of(const struct claim *claim)
{
    return claim->kept.header.request;
}

/* The next claim must be this one, for this service. */
static inline struct claim *next(credit_t *credit, uint64_t request, const char *service)
{
    struct claim *claim = NULL;
    struct slice given;
    CHECK(credit_next(credit, &claim, &given));
    CHECK_INT(request_of(claim), request);
    CHECK_SLICE(given, service);
    return claim;
}

static inline void none_next(credit_t *credit)
{
    struct claim *claim = NULL;
    struct slice service;
    CHECK(!credit_next(credit, &claim, &service));
}

/* Parks one claim and finds the queue empty with it. */
static inline void make_empty(credit_t *credit, seat_t *seat, uint64_t request, const char *service)
{
    CHECK_INT(park(credit, seat, request), 0);
    struct claim *claim = next(credit, request, service);
    credit_empty(credit, &claim);
    none_next(credit);
}
