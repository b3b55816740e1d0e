#include "proto/parcel.h"

#include <errno.h>
#include <stdlib.h>

enum { HEAD = 5, LEAST = 4096 };

void parcel_clear(struct parcel *self)
{
    free(self->data);
    *self = (struct parcel){ 0 };
}

static bool grow(struct parcel *self, size_t wanted)
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
    struct parcel *self = data;
    size_t wanted = self->size + size;
    if (self->failed || (wanted > self->capacity && !grow(self, wanted))) {
        self->failed = true;
        return -1;
    }
    memcpy(self->data + self->size, bytes, size);
    self->size = wanted;
    return 0;
}

void parcel_start(struct parcel *self)
{
    self->size = HEAD;
    self->count = 0;
    self->failed = self->capacity < LEAST && !grow(self, LEAST);
}

msgpack_packer parcel_packer(struct parcel *self)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, self, write_bytes);
    return pk;
}

struct slice parcel_item(const struct parcel *self, size_t mark)
{
    return slice_make(self->data + mark, self->failed ? 0 : self->size - mark);
}

size_t parcel_mark(const struct parcel *self)
{
    return self->size;
}

void parcel_keep(struct parcel *self)
{
    self->count++;
}

void parcel_cut(struct parcel *self, size_t mark)
{
    self->size = mark;
}

/* The shortest head that holds count, put right before the items. */
static uint8_t *put_head(struct parcel *self)
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

struct slice parcel_array(struct parcel *self)
{
    if (self->failed)
        return (struct slice){ 0 };
    const uint8_t *from = put_head(self);
    return slice_make(from, (size_t)(self->data + self->size - from));
}

static int take(const struct parcel *self, const uint8_t *from, zmq_msg_t *ret_body)
{
    size_t size = (size_t)(self->data + self->size - from);
    if (zmq_msg_init_size(ret_body, size))
        return -ENOMEM;
    memcpy(zmq_msg_data(ret_body), from, size);
    return 0;
}

int parcel_take(struct parcel *self, zmq_msg_t *ret_body)
{
    return self->failed ? -ENOMEM : take(self, put_head(self), ret_body);
}

int parcel_take_bare(struct parcel *self, zmq_msg_t *ret_body)
{
    return self->failed ? -ENOMEM : take(self, self->data + HEAD, ret_body);
}
