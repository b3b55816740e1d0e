#include "proto/batch.h"

#include <errno.h>
#include <stdlib.h>

enum { HEAD = 5, LEAST = 4096 };

void batch_clear(struct batch *self)
{
    free(self->data);
    *self = (struct batch){ 0 };
}

static bool grow(struct batch *self, size_t wanted)
{
    size_t capacity = self->capacity ? self->capacity : LEAST;
    while (capacity < wanted)
        capacity *= 2;
    uint8_t *data = realloc(self->data, capacity);
    if (!data)
        return false;
    self->data = data;
    self->capacity = capacity;
    return true;
}

static int write_bytes(void *data, const char *bytes, size_t size)
{
    struct batch *self = data;
    size_t wanted = self->size + size;
    if (self->failed || (wanted > self->capacity && !grow(self, wanted))) {
        self->failed = true;
        return -1;
    }
    memcpy(self->data + self->size, bytes, size);
    self->size = wanted;
    return 0;
}

void batch_start(struct batch *self)
{
    self->size = HEAD;
    self->count = 0;
    self->failed = self->capacity < LEAST && !grow(self, LEAST);
}

msgpack_packer batch_packer(struct batch *self)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, self, write_bytes);
    return pk;
}

struct slice batch_item(const struct batch *self, size_t mark)
{
    return slice_make(self->data + mark, self->failed ? 0 : self->size - mark);
}

size_t batch_mark(const struct batch *self)
{
    return self->size;
}

void batch_keep(struct batch *self)
{
    self->count++;
}

void batch_cut(struct batch *self, size_t mark)
{
    self->size = mark;
}

/* The shortest head that holds count, put right before the items. */
static uint8_t *put_head(struct batch *self)
{
    uint8_t *items = self->data + HEAD;
    uint32_t count = self->count;
    if (count < 16) {
        items[-1] = (uint8_t)(0x90 | count);
        return items - 1;
    }
    items[-1] = (uint8_t)count;
    items[-2] = (uint8_t)(count >> 8);
    if (count <= UINT16_MAX) {
        items[-3] = 0xdc;
        return items - 3;
    }
    items[-3] = (uint8_t)(count >> 16);
    items[-4] = (uint8_t)(count >> 24);
    items[-5] = 0xdd;
    return items - 5;
}

static int take(const struct batch *self, const uint8_t *from, zmq_msg_t *ret_body)
{
    size_t size = (size_t)(self->data + self->size - from);
    if (zmq_msg_init_size(ret_body, size))
        return -ENOMEM;
    memcpy(zmq_msg_data(ret_body), from, size);
    return 0;
}

int batch_take(struct batch *self, zmq_msg_t *ret_body)
{
    return self->failed ? -ENOMEM : take(self, put_head(self), ret_body);
}

int batch_take_bare(struct batch *self, zmq_msg_t *ret_body)
{
    return self->failed ? -ENOMEM : take(self, self->data + HEAD, ret_body);
}
