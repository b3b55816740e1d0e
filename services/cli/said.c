#include "services/cli/said.h"

struct said said_of(const struct message_layout *layout, const void *m)
{
    struct said self;
    msgpack_packer pk;
    msgpack_sbuffer_init(&self.packed);
    msgpack_packer_init(&pk, &self.packed, msgpack_sbuffer_write);
    if (layout)
        message_encode(layout, m, &pk);
    return self;
}

void said_clear(struct said *self)
{
    msgpack_sbuffer_destroy(&self->packed);
}

struct gantry_bytes said_bytes(const struct said *self)
{
    return (struct gantry_bytes){ self->packed.data, self->packed.size };
}
