#pragma once
/* Between the program and a real Redis, so that answers come at places that are the same in every
 * run: whole answers to all that was asked, in one piece, between two turns. */

#include <stdbool.h>

/* Listens at `path`, the program's redis.addr; what is asked there goes to the Redis at `redis`. */
void relay_open(const char *path, const char *redis);
/* Carries what was asked since, and its answers. A blocking XREAD is asked without blocking, each
 * time, and answered once there is something. False: there was nothing to carry. */
bool relay_carry(void);
/* To mark.c in that Redis: "zero", or a phase's name. Done when it returns. */
void relay_mark(const char *what);
