#pragma once
/* The HTTP server: libmicrohttpd on the program's loop, and its connections. */
#include "services/front/connections.h"
#include "services/front/front.h"

#include <microhttpd.h>

typedef struct http http_t;

/* Listens on settings->front_http and logs where. 0, or negative errno after logging why. */
int http_new(struct front *front, http_t **ret_self);
/* Answers that are ready are sent as far as that goes without waiting; then all is closed, streams
 * too. Memory goes in the loop's next turns. */
void http_destroy(http_t **self_p);

/* Takes no more connections, closes idle ones, ends streams; ended is called once none is left. */
void http_stop(http_t *self, void (*ended)(void *arg), void *arg);

/* ---- for requests ---------------------------------------------------------------------------
 */

/* It sleeps no more, which the sockets do not tell. */
void http_resume(http_t *self, struct MHD_Connection *connection);
/* Bytes of bodies move: that there is more is more than libmicrohttpd's word. */
void http_moved(http_t *self);
/* The connection does something else now. */
void http_move(http_t *self, struct connection *connection, enum connection_state state);
/* What is kept of its answer takes so much memory; 0: none any more. */
void http_hold(http_t *self, struct connection *connection, size_t bytes);
/* Answers end their connections: it stops, or there is no room for one more. */
bool http_crowded(const http_t *self);
/* Nothing is waited for any more. */
bool http_closing(const http_t *self);
