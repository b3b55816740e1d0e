#pragma once
/* The body of a request: one map of the wire, packed. */
#include "proto/gantry.h"
#include "proto/message.h"

struct said {
    msgpack_sbuffer packed;
};

/* layout NULL: an empty body. */
struct said said_of(const struct message_layout *layout, const void *m);
void said_clear(struct said *self);
struct gantry_bytes said_bytes(const struct said *self);
