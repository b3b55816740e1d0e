#pragma once
/* The socket of a session: one DEALER connected to one broker. */
#include <stdbool.h>

/* NULL: there is none to be had, or the endpoint is none (errno). */
void *dealer_new(void *zmq, const char *endpoint);
/* What was sent leaves within linger_ms, or not at all. */
void dealer_close(void *socket, int linger_ms);
/* False: the other side is gone, or not there yet. */
bool dealer_connected(void *socket);
