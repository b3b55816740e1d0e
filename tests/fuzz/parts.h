#pragma once
/* One input cut into several: two bytes of length before each, the last takes what is left. Each
 * lies in memory of its own, so that the sanitizer sees a read one too far. */
#include "common/scoped.h"
#include "common/slice.h"

enum { PARTS_MAX = 4 };

struct parts {
    struct slice item[PARTS_MAX];
    void *bytes[PARTS_MAX];
};

static inline void parts_clear(struct parts *self)
{
    for (size_t i = 0; i < PARTS_MAX; i++)
        free(self->bytes[i]);
}

/* self is zeroed. */
static inline void parts_cut(struct parts *self, size_t count, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = size;
        if (i + 1 < count && size >= 2) {
            length = (size_t)data[0] << 8 | data[1];
            data += 2;
            size -= 2;
            length = length < size ? length : size;
        }
        self->bytes[i] = malloc(length ? length : 1);
        if (length && self->bytes[i])
            memcpy(self->bytes[i], data, length);
        self->item[i] = slice_make(self->bytes[i], self->bytes[i] ? length : 0);
        data += length;
        size -= length;
    }
}
