#pragma once
/* What the parts of the broker share. One thread, one loop. Nothing in here is more than a
 * rendezvous: a restart loses connections, parked claims and requests in flight, and all of them
 * come again. */
#include "broker/credit.h"
#include "broker/peer.h"
#include "broker/program.h"
#include "broker/route.h"

/* What STATUS tells, in this order. */
#define COUNTERS(C)                                                                              \
    C(received)          /* messages read */                                                     \
    C(sent)              /* messages sent */                                                     \
    C(dropped)           /* answers that could not be sent: the peer is gone or does not read */ \
    C(refused_busy)      /* a limit was met */                                                   \
    C(refused_malformed) /* messages that could not be read */                                   \
    C(refused)           /* for all other reasons but those below */                             \
    C(hello_first)       /* peers told to introduce themselves (again) */                        \
    C(unavailable)       /* no state service took it */                                          \
    C(timed_out)         /* a state service took it and gave no answer */                        \
    C(resent)            /* to another state service, since the first was lost */                \
    C(returned)          /* answers with tasks whose worker was gone: handed back */             \
    C(late)              /* answers to what was no longer asked */

struct counters {
#define COUNTER_MEMBER(name) uint64_t name;
    COUNTERS(COUNTER_MEMBER)
#undef COUNTER_MEMBER
};

enum { STATES_MAX = 64, QUEUES_MAX = 1024 };

struct door;

/* Handles one message: 0, or a status that it is refused with (b->error says more). peer is NULL
 * only where the door needs no HELLO, and in HELLO itself. */
typedef int verb_fn(struct door *door, struct peer *peer, struct envelope *in);

/* A ROUTER and who may say what there. */
struct door {
    struct broker *broker;
    enum peer_role role;
    bool open_to_all; /* no HELLO needed */
    verb_fn *const *says;
    void *socket;
    zsource_t *source;
    unread_t *unread; /* by all its peers */
};

/* The state services that answer, and those that do no more and whose requests must go to others.
 */
struct states {
    uint32_t count;
    uint32_t next; /* round robin */
    uint32_t lost_count;
    struct peer *up[STATES_MAX];
    struct peer_ref lost[STATES_MAX];
};

struct broker {
    program_t *program;
    const struct settings *settings;
    struct door doors[PEER_ROLES];
    peers_t *peers;
    routes_t *routes;
    credit_t *credit;
    struct states states;
    struct janitor *janitor;
    uint32_t epoch; /* random: who carries another one spoke with a broker that is no more */
    uint64_t pings;
    int64_t started_ms;
    int64_t now_ms;      /* of the event being handled */
    int64_t draining_ms; /* since when; 0: it does not drain */
    struct envelope in;
    msgpack_sbuffer scratch;
    struct m_error error; /* of the refusal being made */
    char error_text[256];
    struct counters counters;
};
