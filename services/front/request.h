#pragma once
/* One HTTP request, from the moment its handler is called until it is answered. Everything borrowed
 * from it lives until then. A handler answers at once or later, exactly once, on the loop's thread.
 *
 * A client that goes away meanwhile does not end the request: the answer is dropped, and a stream's
 * closed() is called. */
#include "common/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct request request_t;
struct front;

/* What all handlers share: the client, the settings. */
struct front *request_front(const request_t *self);

/* The value of {name} in the route's path, decoded; "" when the route has none of that name. */
const char *request_part(const request_t *self, const char *name);
/* A query parameter, decoded; NULL when it was not given. */
const char *request_query(const request_t *self, const char *name);
/* A header, whatever its case; NULL when it was not sent. */
const char *request_header(const request_t *self, const char *name);
/* The body's bytes; empty when there was none, and of rows that are streamed. */
struct slice request_body(const request_t *self);
/* How many bytes of body were announced; UINT64_MAX: chunked, nobody knows. */
uint64_t request_length(const request_t *self);
bool request_is_head(const request_t *self);
/* The id of this request (X-Request-Id as sent, if it is sane, else a new one), and its W3C
 * traceparent, as sent or new. Both are on the answer, and in the log of what fails. */
const char *request_id(const request_t *self);
const char *request_trace(const request_t *self);

/* One header more of the answer that comes. name is borrowed for ever. */
void request_set_header(request_t *self, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The answer. body is taken, whatever becomes of it; NULL: none. */
void request_answer(request_t *self, int http, json_t *body);
/* The same with JSON that was written before; it is copied. */
void request_answer_text(request_t *self, int http, const char *text);
/* The same of another media type. */
void request_answer_typed(request_t *self, int http, const char *type, const char *text);
/* {"detail": text}. retry_after_ms > 0 adds Retry-After, in whole seconds, rounded up. */
void request_refuse(request_t *self, int http, int64_t retry_after_ms, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* As a status of Gantry's is told (status_http): 503 and Retry-After for BUSY and UNAVAILABLE, 429
 * for BUSY of a user's quota, and so on. message: what the other side said, or "". What is negative
 * is our own: 500, and into the log. */
void request_refuse_status(request_t *self, int status, const char *scope, uint32_t retry_after_ms,
                           const char *message);

/* A body that is taken as it comes. Rows that are streamed have their handlers called once the
 * headers are there; these refuse, or call request_take(), at once or later: until then nothing of
 * the body is read. */
struct request_taker {
    /* So much more. Answers how many bytes of it were taken; when that is not all, nothing more
     * comes until request_more(). Not called any more once the request is answered: what still
     * comes is thrown away. */
    size_t (*part)(void *arg, struct slice bytes);
    /* It was all. */
    void (*whole)(void *arg);
    /* The peer has gone, or the service ends, before there was an answer; whether the body was
     * whole or not. Nothing else is called any more; the request still wants its answer, which
     * nobody will hear. */
    void (*cut)(void *arg);
};
void request_take(request_t *self, const struct request_taker *taker, void *arg);
void request_more(request_t *self);

/* A body that is fetched while it is sent. */
struct request_source {
    /* At most size bytes: how many; 0: none yet, request_more() will tell; -ENODATA: that was all
     * (when its length is not known); other -errno: it broke off, and the connection ends so that
     * nobody takes it for whole. */
    ssize_t (*read)(void *arg, void *to, size_t size);
    /* Called once: it was sent, or nobody wants it any more. The request is gone after it. */
    void (*closed)(void *arg);
    size_t held; /* memory that it takes */
};
/* length UINT64_MAX: not known. HEAD asks for none of it. */
void request_answer_source(request_t *self, int http, uint64_t length,
                           const struct request_source *source, void *arg);

/* A body whose parts come as they happen (server-sent events). The request is answered with it:
 * 200, text/event-stream, no caching. closed is called once, when the peer is gone, when the stream
 * was ended or when the service stops; the request is gone after it. */
typedef void request_closed_fn(void *arg);
void request_stream(request_t *self, request_closed_fn *closed, void *arg);
/* Adds text to it. False: the peer reads too slowly (front's bound is met) and is being dropped. */
bool request_send(request_t *self, struct slice text);
/* No more comes: what was added is still sent, then closed is called. */
void request_end(request_t *self);
