/* A node's declaration and an input that is held against it: both taken, or refused in words that
 * can be sent. */
#include "proto/codec.h"
#include "services/state/catalogue.h"
#include "tests/fuzz/parts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static void check_refusal(int r, const struct refusal *why)
{
    assert(r >= 0 && r == why->status && (r == 0 || why->message[0]));
    check_text(why->message);
    check_text(why->field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped_in(parts) parts = { 0 };
    parts_cut(&parts, 2, data, size);
    const struct slice declaration = parts.item[0], input = parts.item[1];
    struct refusal why = { 0 }, unfit = { 0 };
    struct slice name;
    if (codec_check(declaration) || (input.size && codec_check(input)))
        return 0;
    int r = catalogue_verify(declaration, &why, &name);
    check_refusal(r, &why);

    scoped(catalogue) catalogue = catalogue_new();
    assert(catalogue && catalogue_put(catalogue, declaration) == r);
    assert(catalogue_count(catalogue) == (r == 0));
    if (r)
        name = SLICE("system.noop");
    check_refusal(catalogue_check(catalogue, name, input, &unfit, NULL), &unfit);
    const struct limits limits = catalogue_limits(catalogue, name);
    assert(limits.failures_max <= FAILURES_MOST && limits.crashes_max <= CRASHES_MOST);
    return 0;
}
