/* Every body a stranger can send: checked, and if it passes, decoded as every message and walked
 * whole. */
#include "proto/codec.h"
#include "proto/message.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Large enough for any message's struct. */
static union {
    struct m_receipt receipt;
    struct m_stage stage;
    uint64_t room[64];
} m;

static void walk(struct slice bytes)
{
    struct reader r = reader_of(bytes);
    struct token t;
    size_t tokens = 0;
    while (reader_next(&r, &t))
        tokens++;
    assert(tokens <= bytes.size && r.at == r.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_make(data, size);
    struct slice value;
    const char *field;
    bool good = codec_check(bytes) == 0;
    if (good)
        walk(bytes);
    for (size_t i = 0; message_layouts[i]; i++) {
        assert(message_layouts[i]->size <= sizeof m);
        (void)message_decode(message_layouts[i], bytes, &m, &field);
    }
    (void)codec_find(bytes, "input", &value);
    return 0;
}
