#pragma once
/* What the files that make up a request share. */
#include "services/front/http.h"
#include "services/front/route.h"
#include "services/front/trace.h"
#include "services/front/uri.h"

enum request_state {
    REQUEST_ARRIVING, /* its headers, then its body */
    REQUEST_HANDLED,  /* its handler was called and owes an answer */
    REQUEST_ANSWERED, /* response is set */
};

struct stream;

struct request {
    struct front *front;
    http_t *http;
    struct MHD_Connection *connection; /* NULL: the peer has gone */
    struct MHD_Response *response;
    struct stream *stream; /* NULL: it is none */
    enum request_state state;
    unsigned answer; /* HTTP status of response */
    bool begun;
    bool asleep; /* suspended */
    bool queued; /* libmicrohttpd has the response */
    struct uri uri;
    struct route_match match;
    struct trace trace;
    char *body;
    size_t size;
    size_t room;
};

/* The answer is ready: takes the response, and wakes the request when it sleeps. */
void request_respond(request_t *self, unsigned http, struct MHD_Response *response);
/* A header more on a response that was made. */
void request_header_add(struct MHD_Response *response, const char *name, const char *value);
/* Frees what nobody holds any more. */
void request_free(request_t *self);

/* stream.c: */
/* libmicrohttpd is done with the request. */
void stream_over(request_t *self);
