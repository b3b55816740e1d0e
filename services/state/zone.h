#pragma once
/* Local time of a zone, by glibc. The zone is the process' own (TZ) for as long as it is entered:
 * that is safe because the state service has one thread, and nothing is waited for meanwhile. */
#include "common/slice.h"

enum { ZONE_NAME_MAX = 64 };

struct zone {
    char *before; /* TZ as it was; NULL: it was not set */
};

/* Is there a file of this zone in the system's zoneinfo? "" is UTC, which needs none. */
bool zone_known(struct slice name);

/* 0, STATUS_NOT_FOUND (as zone_known says), or -ENOMEM; after 0 it must be left. */
int zone_enter(struct zone *ret_self, struct slice name);
void zone_leave(struct zone *self);
/* Seconds that the entered zone is ahead of UTC at a moment, in seconds since 1970. */
int64_t zone_offset(int64_t utc_s);
