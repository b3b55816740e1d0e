#pragma once
/* One msgpack value in the making, which knows when memory ran out. */
#include "common/slice.h"

#include <msgpack.h>

struct packed {
    msgpack_sbuffer bytes; /* a zeroed one is empty */
    bool failed;
};

void packed_clear(struct packed *self);
msgpack_packer packed_packer(struct packed *self);
/* Borrowed; empty when a write failed. */
struct slice packed_slice(const struct packed *self);
