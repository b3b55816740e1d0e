/* What an engine says, in pieces of any length: understood the same as in one, and whatever it is,
 * there is a verdict. */
#include "common/scoped.h"
#include "proto/codec.h"
#include "proto/schema.h"
#include "services/worker/verdict.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int hear(struct messages *messages, struct slice all, size_t piece)
{
    const char *at = all.data;
    int r = 0;
    for (size_t done = 0; r == 0 && done < all.size; done += piece) {
        size_t left = all.size - done;
        r = messages_read(messages, slice_make(at + done, left < piece ? left : piece));
    }
    return r ? r : messages_end(messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct child_end end = { .report = { .ended = true } };
    scoped_in(messages) whole = { 0 };
    scoped_in(messages) cut = { 0 };
    if (size == 0)
        return 0;
    const struct slice all = slice_make(data + 1, size - 1);
    int r = hear(&whole, all, all.size);
    assert(r == hear(&cut, all, (data[0] & 63u) + 1));
    assert(whole.result == cut.result && whole.after_ms == cut.after_ms);
    assert(slice_equal(whole.output, cut.output) && slice_equal(whole.files, cut.files));
    assert(slice_equal(whole.message, cut.message) && whole.progress == cut.progress);
    assert(whole.progress >= 0 && whole.progress <= 1);
    if (r == 0 && whole.output.size)
        assert(codec_check(whole.output) == 0 && codec_depth(whole.output) <= WIRE_VALUE_DEPTH_MAX);
    if (whole.checkpoint.size)
        assert(codec_check(whole.checkpoint) == 0);

    struct fault fault = { 0 };
    const struct verdict_facts facts = { .unreadable = r, .messages = &whole, .end = &end };
    enum verdict_kind kind = verdict_of(&facts, &fault);
    assert(r == 0 || kind == VERDICT_FAILED);
    return 0;
}
