#pragma once
/* The peer's end of a connection to a broker: client, worker and state service alike.
 *
 * HELLO/WELCOME, pings, silence, reconnect with back-off (0.1 s doubling to 2 s, jittered),
 * failover along a list of endpoints (a broker that refuses HELLO is left at once, one whose
 * connection ends within half a second, a silent one by heartbeat_ms and liveness_ms of WELCOME),
 * and resending of what is unanswered after every WELCOME. Requests beyond WELCOME's window wait
 * here. One DEALER at a time; it changes at failover, so a loop that watches it is told. Knows no
 * loop and no clock. */
#include "proto/envelope.h"
#include "proto/message.h"

typedef struct session session_t;

/* Called exactly once per request: with the broker's answer; or with header->status set here:
 * TIMEOUT (its own time was over), UNAVAILABLE (connection lost and the request was not to be
 * repeated, or the session was destroyed). body is empty then. Borrowed for the call. May make
 * requests. */
typedef void session_answer_fn(void *arg, const struct header *header, struct slice body);

struct session_events {
    /* The socket to watch is another one now, NULL for none; the old one is closed after the call.
     */
    void (*socket_changed)(void *arg, void *socket);
    /* WELCOME came, for the first time or again; before anything is resent. May be NULL. */
    void (*welcomed)(void *arg, const struct m_welcome *welcome);
    /* Connection lost, before any request is answered for it. May be NULL. */
    void (*lost)(void *arg);
    /* The socket was used, other than by session_read: see zsource_used(). May be NULL. */
    void (*used)(void *arg);
    /* state services: the broker asks; answer with session_answer() under header->request. The body
     * may be moved away (zmq_msg_move). NULL: requests are answered UNSUPPORTED. */
    void (*asked)(void *arg, const struct header *header, zmq_msg_t *body);
};

struct session_options {
    void *zmq;             /* ZeroMQ context, borrowed */
    const char *endpoints; /* comma separated, borrowed */
    struct m_hello hello;  /* slices borrowed for the session's life */
    size_t requests_max;   /* unanswered requests; one more is refused BUSY */
    struct session_events events;
    void *arg;
};

struct request {
    uint32_t verb;
    struct slice service;
    uint32_t priority;
    uint32_t count;
    struct slice trace;
    int64_t timeout_ms; /* 0: for ever */
    bool once;          /* never resent: answered UNAVAILABLE when the connection is lost (CLAIM) */
};

/* NULL when out of memory or endpoints is empty. Connects at the first tick. */
session_t *session_new(const struct session_options *options);
/* Every open request is answered UNAVAILABLE first. Says no BYE. */
void session_destroy(session_t **self_p);

/* Sends now, or after the next WELCOME, or when the window has room, in order. body may be NULL; it
 * is taken on 0. 0; STATUS_BUSY: requests_max, or out of memory; STATUS_UNAVAILABLE: the session is
 * being destroyed. */
int session_request(session_t *self, const struct request *request, zmq_msg_t *body,
                    session_answer_fn *answer, void *arg);
/* State services: body is taken. Answers to a connection that is gone are dropped. */
void session_answer(session_t *self, uint64_t request, uint32_t status, uint32_t count,
                    zmq_msg_t *body);
/* READY and BYE: no answer, dropped when not connected. body may be NULL, else taken. */
void session_say(session_t *self, uint32_t verb, struct slice service, zmq_msg_t *body);

/* Reads and handles one message; false: none. */
bool session_read(session_t *self, int64_t now_ms);
/* Pings, reconnects, times out. Answers when to call again at the latest (same clock). */
int64_t session_tick(session_t *self, int64_t now_ms);

/* As WELCOME gave it last; NULL before the first or while not connected. */
const struct m_welcome *session_welcome(const session_t *self);
/* Why a broker refused the last HELLO that was refused, for a person; "" since a WELCOME. */
const char *session_refusal(const session_t *self);
void *session_socket(const session_t *self); /* NULL before the first tick */
size_t session_open_requests(const session_t *self);
