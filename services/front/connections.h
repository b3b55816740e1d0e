#pragma once
/* The connections, and how long each may take for what it does. libmicrohttpd's own time-out only
 * knows silence, in whole seconds, and forgets who is suspended; so every limit is kept here, and
 * who is over one has its socket shut down, which libmicrohttpd then notices. Knows sockets, but no
 * loop and no HTTP. */
#include "common/settings.h"
#include "proto/list.h"

#include <stdint.h>

struct request;
struct trace;

enum connection_state {
    CONNECTION_IDLE,      /* between requests: front.idle_ms */
    CONNECTION_ARRIVING,  /* a request comes: front.request_ms for all of it */
    CONNECTION_HANDLED,   /* the answer is being found: that has limits of its own */
    CONNECTION_TAKING,    /* a body of any length comes: at least CONNECTION_PACE bytes in every
                           * front.request_ms */
    CONNECTION_WAITING,   /* as HANDLED, but it takes long: ends when the peer leaves */
    CONNECTION_ANSWERING, /* at least CONNECTION_PACE bytes of it in every front.request_ms */
};

/* ANSWERS_MAX: bytes that all answers under way may take; who takes less than ANSWERS_LEAST is not
 * dropped for it. */
enum { CONNECTION_PACE = 4096, ANSWERS_MAX = 256 << 20, ANSWERS_LEAST = 64 << 10 };

struct connection {
    struct link link; /* who came into its state last is last */
    int fd;
    enum connection_state state;
    bool over;  /* shut down: libmicrohttpd is to notice */
    bool rude;  /* answered before all was read: see parting.h */
    bool plain; /* no TLS: something can be written past libmicrohttpd */
    int64_t since_ms;
    bool held_up;   /* nothing of it is read, for reasons of ours: its time stands still */
    uint64_t asked; /* bytes received when the last answer began: with more another request has;
                     * while TAKING, at the last look */
    uint64_t taken; /* bytes of answers acknowledged at since_ms; while TAKING, received */
    size_t held;    /* bytes of its answer */
    struct request *request;   /* NULL: none */
    const struct trace *trace; /* of the request that comes; NULL: its headers did not come yet */
};

/* Tells the connection's request that its peer is no longer there. */
typedef void connection_lost_fn(struct connection *connection);

struct connections {
    const struct settings *settings;
    struct link ring;
    size_t count;
    size_t held;   /* by all */
    bool stopping; /* idle ones are shut down at once */
    connection_lost_fn *lost;
};

void connections_init(struct connections *self, const struct settings *settings,
                      connection_lost_fn *lost);
/* NULL when out of memory. */
struct connection *connections_add(struct connections *self, int fd, bool plain, int64_t now_ms);
void connections_remove(struct connections *self, struct connection *connection);

void connections_move(struct connections *self, struct connection *connection,
                      enum connection_state state, int64_t now_ms);
/* No further request is waited for: idle ones end. */
void connections_stop(struct connections *self);
/* Its answer takes so much memory. Where all take too much, those are dropped that have been at
 * theirs for longest without taking enough of it. */
void connections_hold(struct connections *self, struct connection *connection, size_t bytes);
/* There is no room for one more: answers should end their connections. */
bool connections_full(const struct connections *self);
/* Shuts down who is over a limit; where there is no more room, also the one that idles longest. */
void connections_tick(struct connections *self, int64_t now_ms);
/* How often that is to be done. */
int64_t connections_tick_ms(const struct settings *settings);

/* Shuts it down. */
void connection_drop(struct connection *self);
/* Answers past libmicrohttpd where that can say nothing any more: in the middle of a request. A
 * peer with TLS learns nothing. */
void connection_last_words(const struct connection *self, unsigned http, const char *detail);
