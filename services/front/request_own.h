#pragma once
/* What the files that make up a request share. request.c: what handlers ask and answer; arrival.c:
 * how it comes and goes; intake.c: bodies that are taken as they come; stream.c: answers that come
 * as they happen; source.c: answers that are fetched while they are sent. */
#include "services/front/http.h"
#include "services/front/request.h"
#include "services/front/route.h"
#include "services/front/trace.h"
#include "services/front/uri.h"

enum request_state {
    REQUEST_ARRIVING, /* its headers, then its body */
    REQUEST_HANDLED,  /* its handler was called and owes an answer */
    REQUEST_ANSWERED, /* response is set, or NULL for want of memory */
};

struct stream;
struct source;

enum { REQUEST_HEADERS_MAX = 16 };

/* A header of the answer. */
struct request_header {
    const char *name;
    char *value;
};

struct request {
    struct front *front;
    http_t *http;
    struct MHD_Connection *connection; /* NULL: the peer has gone */
    struct connection *peer;           /* as connection */
    struct MHD_Response *response;
    struct stream *stream; /* NULL: it is none */
    struct source *source; /* likewise */
    enum request_state state;
    unsigned answer;                   /* HTTP status of response */
    const char *wrong;                 /* with its target, in words; or NULL */
    uintptr_t behind;                  /* its target, as it came: there the version begins */
    bool begun;                        /* its headers were looked at */
    bool early;                        /* to be answered although it is not whole */
    bool asleep;                       /* suspended */
    bool queued;                       /* libmicrohttpd has the response */
    bool streamed;                     /* its handler was called before its body came, */
    bool opened;                       /* which libmicrohttpd hands out by now, */
    bool whole;                        /* and all of which has come */
    bool head;                         /* HEAD */
    const struct request_taker *taker; /* of a streamed body; NULL: nobody takes it yet */
    void *taker_arg;
    uint64_t length;  /* of the body, as announced; UINT64_MAX: chunked */
    uint64_t dropped; /* bytes of it that were thrown away */
    char *detail;     /* of a refusal while the body comes, for last words */
    size_t header_count;
    struct request_header headers[REQUEST_HEADERS_MAX];
    struct uri uri;
    struct route_match match;
    struct trace trace;
    char *body;
    size_t size; /* of the body, or of what was thrown away of it */
    size_t room;
};

/* ---- request.c ---- */
/* The answer is ready: takes the response, and wakes the request when it sleeps. */
void request_respond(request_t *self, unsigned http, struct MHD_Response *response);
/* A header more on a response that was made. */
void request_header_add(struct MHD_Response *response, const char *name, const char *value);
/* What is kept of the answer takes so many bytes. */
void request_hold(const request_t *self, size_t bytes);
/* It sleeps no more. */
void request_wake(request_t *self);
/* libmicrohttpd asks for it no more. Frees it, and calls a stream's closed(). */
void request_free(request_t *self);
/* What came of its body is needed no more. */
void request_drop_body(request_t *self);

/* ---- arrival.c: called by the server ---- */
/* A request line came; target may be NULL. NULL: out of memory, and the connection is closed. */
request_t *request_new(struct front *front, http_t *http, struct MHD_Connection *connection,
                       struct connection *peer, const char *target);
/* What libmicrohttpd's handler is called with, each time; *size becomes what was left of it. False:
 * the connection is to be closed. */
bool request_receive(request_t *self, const char *method, const char *version, const char *data,
                     size_t *size);
/* The answer goes to libmicrohttpd, or the request sleeps until there is one. False: as above. */
bool request_proceed(request_t *self);
/* libmicrohttpd does not call for it until request_wake(). */
void request_sleep(request_t *self);
/* libmicrohttpd is done with it: answered, or the peer has gone. */
void request_over(request_t *self);

/* ---- intake.c ---- */
/* As request_receive, once the handler of a streamed row was called. */
bool intake_receive(request_t *self, const char *data, size_t *size);
/* Nothing more comes. */
void intake_cut(request_t *self);

/* ---- source.c ---- */
/* Calls closed() and frees it. */
void source_over(request_t *self);

/* ---- stream.c ---- */
/* Says something to a peer that has heard nothing for long. */
void stream_tick(request_t *self, int64_t now_ms);
/* The peer is no longer there. */
void stream_drop(request_t *self);
/* Calls closed() and frees it. */
void stream_over(request_t *self);
