/* Inputs that refer to what other stages wrote: resolved to inputs that can be handed out, or
 * refused in words that can be sent. */
#include "proto/codec.h"
#include "services/state/reference.h"
#include "services/state/upstream.h"
#include "tests/fuzz/parts.h"

#include "common/status.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 4096, PARTS = 4 };

static void check_text(const char *text)
{
    msgpack_sbuffer bytes;
    msgpack_packer pk;
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&pk, &bytes, msgpack_sbuffer_write);
    pack_text(&pk, text);
    assert(codec_check(slice_make(bytes.data, bytes.size)) == 0);
    msgpack_sbuffer_destroy(&bytes);
}

/* Two stages that wrote something, one that has not ended, and an input that they stand in for. */
static void resolve(struct slice input, struct slice names, struct slice first, struct slice second)
{
    const struct upstream_stage stages[] = {
        { SLICE("a.x"), STATE_COMPLETED, 1, first },
        { SLICE("a.y"), STATE_COMPLETED, 2, second },
        { SLICE("a.z"), STATE_PENDING, 0, { 0 } },
    };
    const struct upstream_input stand_in = { SLICE("in"), names };
    const struct upstream self = { SLICE("b.self"), stages, 3, &stand_in, 1, MOST };
    struct refusal why = { 0 };
    msgpack_sbuffer to;
    msgpack_sbuffer_init(&to);
    const int r = upstream_resolve(&self, input, &to, &why);
    const struct slice bytes = slice_make(to.data, to.size);
    assert(r == 0 || r == STATUS_BUSY || r == STATUS_INVALID || r == STATUS_TOO_LARGE);
    assert(r || (codec_check(bytes) == 0 && to.size <= MOST &&
                 codec_depth(bytes) <= WIRE_VALUE_DEPTH_MAX));
    assert(r == 0 || r == STATUS_BUSY || why.message[0]);
    check_text(why.message);
    check_text(why.field);
    msgpack_sbuffer_destroy(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped_in(parts) parts = { 0 };
    struct refusal why = { 0 };
    uint32_t count = 0;
    parts_cut(&parts, PARTS, data, size);
    const struct slice input = parts.item[0], names = parts.item[1];
    for (size_t i = 0; i < PARTS; i++)
        if (i != 1 && parts.item[i].size && codec_check(parts.item[i]))
            return 0;
    const int r = input.size ? reference_check(input, &count, &why) : 0;
    assert(r == 0 || reference_possible(input));
    check_text(why.message);
    resolve(input, names, parts.item[2], parts.item[3]);
    return 0;
}
