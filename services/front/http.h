#pragma once
/* The HTTP server: libmicrohttpd on the program's loop, and the connections with their limits. */
#include "services/front/front.h"
#include "services/front/request.h"

#include <microhttpd.h>

typedef struct http http_t;

/* Listens on settings->front_http and logs where. 0, or negative errno after logging why. */
int http_new(struct front *front, http_t **ret_self);
/* Requests that were not answered are dropped, streams' closed() is called. Memory goes in the
 * loop's next turns. */
void http_destroy(http_t **self_p);

/* Takes no more connections, closes idle ones; ended is called once none is left. */
void http_stop(http_t *self, void (*ended)(void *arg), void *arg);
/* The server has something to do that its sockets do not tell: a request was resumed. */
void http_wake(http_t *self);

/* ---- the requests' part (request.c) ----------------------------------------------------------
 */

/* A request line came. NULL: out of memory, and the connection is closed. */
request_t *request_new(struct front *front, http_t *http, struct MHD_Connection *connection,
                       const char *target);
/* What libmicrohttpd's handler is called with, each time. False: the connection is to be closed. */
bool request_receive(request_t *self, const char *method, const char *version, const char *data,
                     size_t size);
/* libmicrohttpd is done with it: answered, or the peer has gone. */
void request_over(request_t *self);
