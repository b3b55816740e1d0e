#pragma once
/* A body in the making: an array of items, of which the last can be taken back. The memory is kept for
 * the next body, so a steady sender allocates once a message. */
#include "common/slice.h"

#include <msgpack.h>
#include <zmq.h>

struct batch {
    uint8_t *data; /* room for the array's head, then the items */
    size_t size;
    size_t capacity;
    uint32_t count;
    bool failed; /* out of memory: what was written is not whole */
};

/* A zeroed batch is an empty one. */
void batch_clear(struct batch *self);
void batch_start(struct batch *self);
/* Writes items; call batch_keep after each. */
msgpack_packer batch_packer(struct batch *self);
/* The item being written, as far as it is. */
struct slice batch_item(const struct batch *self, size_t mark);
/* Where the next item begins; size of the body up to here. */
size_t batch_mark(const struct batch *self);
void batch_keep(struct batch *self);
/* Takes back what was written since mark. */
void batch_cut(struct batch *self, size_t mark);
/* The body as a message. 0 or -ENOMEM (also when a write failed). */
int batch_take(struct batch *self, zmq_msg_t *ret_body);
/* The bytes since the first item, without a head: for a body that is one map. Same results. */
int batch_take_bare(struct batch *self, zmq_msg_t *ret_body);
