#include "services/worker/packed.h"

static int keep(void *data, const char *bytes, size_t size)
{
    struct packed *self = data;
    if (!self->failed && msgpack_sbuffer_write(&self->bytes, bytes, size) != 0)
        self->failed = true;
    return self->failed ? -1 : 0;
}

void packed_clear(struct packed *self)
{
    msgpack_sbuffer_destroy(&self->bytes);
    *self = (struct packed){ 0 };
}

msgpack_packer packed_packer(struct packed *self)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, self, keep);
    return packer;
}

struct slice packed_slice(const struct packed *self)
{
    return slice_make(self->bytes.data, self->failed ? 0 : self->bytes.size);
}
