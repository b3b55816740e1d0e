#pragma once
/* The network between the processes: connections that deliver in order, late, or not at all. A
 * message is lost only with its connection; what was on its way is lost from some point on. */
#include "tests/sim/world.h"

#include <zmq.h>

struct link;
struct sock;

enum { PACKET_FRAMES = 2 };

/* header and, when there is one, body */
struct packet {
    struct packet *next;
    bool end; /* no message: the connection is over */
    int frames;
    zmq_msg_t frame[PACKET_FRAMES];
    struct link *link; /* it came by */
};

enum { TO_ROUTER, TO_DEALER, DIRECTIONS };

struct sock {
    int type; /* ZMQ_ROUTER or ZMQ_DEALER */
    struct proc *proc;
    unsigned life;
    bool closed;
    int linger_ms;
    char endpoint[64]; /* bound to, or connected to */
    struct link *link; /* DEALER: the connection that stands; NULL: none */
    unsigned attempts; /* DEALER: in a row that failed */
    struct packet *inbox, **inbox_end;
    int read;             /* frames of the first of inbox that were read; a ROUTER's id counts */
    struct link *sending; /* ROUTER: whom the message being sent is for */
    struct packet *writing;
    struct sock *next; /* of all */
};

/* How the network of a world is. */
struct net_rules {
    int64_t delay_least_us, delay_most_us;
    int slow_percent; /* messages that take up to slow_us more */
    int64_t slow_us;
    unsigned pipe_max; /* messages on their way to one peer before a ROUTER says EAGAIN; 0: none */
};
extern struct net_rules net_rules;

/* ---- for zmq.c ---- */
struct sock *sock_new(int type);
void sock_close(struct sock *self);
bool sock_readable(const struct sock *self);
/* DEALER: connects, and again whenever the connection is lost. */
void sock_connect(struct sock *self);
/* Takes the packet. from: TO_ROUTER or TO_DEALER. */
void link_send(struct link *link, int direction, struct packet *packet);
bool link_open(const struct link *link, int direction);
bool link_full(const struct link *link, int direction);
/* Routing ids. */
enum { LINK_ID_SIZE = 5 };
void link_id(const struct link *link, uint8_t id[LINK_ID_SIZE]);
struct link *link_by_id(const struct sock *router, const void *id, size_t size);
struct packet *packet_new(void);
void packet_free(struct packet *packet);

/* ---- trouble ---- */
/* The processes' ends: what they sent arrives up to some point, nothing reaches them. */
void net_crash(struct proc *proc);
/* Breaks the connection between a and b, or a random one when both are NULL. False: there is none.
 */
bool net_break(const struct proc *a, const struct proc *b);
/* A random connection stands still, and is broken afterwards or not. */
bool net_stall(int64_t for_us, bool then_break);
/* Nothing reaches the process or leaves it; connections stand still, and break when the time is
 * long. */
void net_cut(struct proc *proc, int64_t for_us);
void net_end(void);

/* ---- traps: trouble at a certain message ---- */
enum trap_act {
    TRAP_LOSE,         /* the connection breaks, and the message goes with it */
    TRAP_BREAK,        /* it arrives, then the connection breaks */
    TRAP_CRASH_SENDER, /* the message is lost with its sender */
    TRAP_SENT_CRASH,   /* it arrives, its sender is dead by then */
    TRAP_CRASH_TARGET, /* lost with its receiver */
    TRAP_HOLD,         /* late by hold_us, and all behind it on the connection */
    TRAP_ACTS
};
struct trap {
    enum role from, to;
    uint32_t verb;   /* of the request */
    bool answer;     /* to it */
    bool with_items; /* only a message whose header's count is not 0, and of status 0 */
    unsigned skip;   /* so many first */
    enum trap_act act;
    int64_t hold_us;
    bool sprung;
};
enum { TRAPS_MAX = 16 };
/* Set while the world lasts; struct is copied. Answers a pointer to look at sprung, or NULL when
 * there are TRAPS_MAX. */
const struct trap *net_trap(const struct trap *trap);
void trap_clear(void);
