#pragma once
/* libgantry's client on somebody else's loop (attach.h): what our own programs use beside gantry.h.
 * Only calls that do not wait (gantry_..._begin) may be made on such a client; after one, and after
 * reads, the loop ticks it again in the same turn (attach_wake), for what is to be sent. */
#include "proto/gantry.h"

/* Told when the socket to watch changes, NULL for none; before the first tick. */
void gantry_client_watch(gantry_client_t *self, void (*changed)(void *arg, void *socket),
                         void *arg);
/* Reads one message and handles it; callbacks are called. False: there was none. */
bool gantry_client_read(gantry_client_t *self, int64_t now_ms);
/* Connects, pings, resends, times out, sends what was begun. Answers when to call again. */
int64_t gantry_client_tick(gantry_client_t *self, int64_t now_ms);
/* NULL while a broker knows us; else why the last one refused, "" when none answered. */
const char *gantry_client_away(const gantry_client_t *self);
