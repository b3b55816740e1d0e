/* A stage as Redis keeps it (body, state, history): read or refused, and what is sound makes a
 * record that its reader takes for msgpack. */
#include "proto/codec.h"
#include "proto/schema.h"
#include "services/state/record.h"
#include "tests/fuzz/parts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TWO = 0x92, SEVEN = 0x97 }; /* heads of lists */

/* Are they so many values in a row, whose last is a map of values that a record can hold? */
static bool is_sound(struct slice values, uint8_t head)
{
    char wrapped[8192];
    if (values.size >= sizeof wrapped)
        return false;
    wrapped[0] = (char)head;
    memcpy(wrapped + 1, values.data, values.size);
    const struct slice all = slice_make(wrapped, values.size + 1);
    return codec_check(all) == 0 && codec_depth(all) <= WIRE_VALUE_DEPTH_MAX + 2;
}

static bool is_sound_history(struct slice history)
{
    struct reader reader = reader_of(history);
    struct token token;
    while (reader_next(&reader, &token))
        if (token.kind != KIND_BIN || !is_sound(token.bytes, TWO))
            return false;
    return reader.at == reader.end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped_in(parts) parts = { 0 };
    struct stage stages[2];
    parts_cut(&parts, 3, data, size);
    const struct slice body = parts.item[0], state = parts.item[1], history = parts.item[2];
    if (!stage_read(SLICE("ffmpeg.crop"), body, state, history, &stages[0]))
        return 0;
    stages[1] = stages[0];
    stages[1].task = SLICE("ffmpeg.split");

    msgpack_sbuffer packed;
    msgpack_packer pk;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    assert(record_pack(SLICE("task"), "/storage", stages, 2, &pk));
    if (is_sound(body, SEVEN) && is_sound(state, TWO) && is_sound_history(history))
        assert(codec_check(slice_make(packed.data, packed.size)) == 0);
    msgpack_sbuffer_destroy(&packed);
    return 0;
}
