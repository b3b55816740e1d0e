#pragma once
/* A body in the making: an array of items, of which the last can be taken back. The memory is kept
 * for the next body, so a steady sender allocates once a message. */
#include "common/slice.h"

#include <msgpack.h>
#include <zmq.h>

struct parcel {
    uint8_t *data; /* room for the array's head, then the items */
    size_t size;
    size_t capacity;
    uint32_t count;
    bool failed; /* out of memory: what was written is not whole */
};

/* A zeroed parcel is an empty one. */
void parcel_clear(struct parcel *self);
void parcel_start(struct parcel *self);
/* Writes items; call parcel_keep after each. */
msgpack_packer parcel_packer(struct parcel *self);
/* The item being written, as far as it is. */
struct slice parcel_item(const struct parcel *self, size_t mark);
/* Where the next item begins; size of the body up to here. */
size_t parcel_mark(const struct parcel *self);
void parcel_keep(struct parcel *self);
/* Takes back what was written since mark. */
void parcel_cut(struct parcel *self, size_t mark);
/* The whole array so far, borrowed; empty when a write failed. */
struct slice parcel_array(struct parcel *self);
/* The body as a message. 0 or -ENOMEM (also when a write failed). */
int parcel_take(struct parcel *self, zmq_msg_t *ret_body);
/* The bytes since the first item, without a head: for a body that is one map. Same results. */
int parcel_take_bare(struct parcel *self, zmq_msg_t *ret_body);
