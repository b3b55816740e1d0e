/* The header frame: what is accepted can be written again and says the same. */
#include "proto/envelope.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct header header, again;
    uint8_t bytes[WIRE_HEADER_MAX];
    size_t length;
    if (header_decode(&header, slice_make(data, size)))
        return 0;
    assert(header_encode(&header, bytes, &length));
    assert(header_decode(&again, slice_make(bytes, length)) == 0);
    assert(again.verb == header.verb && again.request == header.request);
    assert(slice_equal(again.service, header.service) && slice_equal(again.trace, header.trace));
    return 0;
}
