#pragma once
/* A ROUTER on the loop: reads, checks who speaks, and hands the message to the handler of its verb.
 */
#include "broker/broker.h"

/* Makes the socket, binds it and puts it on the program's loop. 0, or what endpoint_bind answers.
 */
int door_open(struct door *self, const char *endpoints, char *error);
/* Fine on one that was never opened. */
void door_close(struct door *self);
