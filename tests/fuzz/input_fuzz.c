/* A task's input, as a worker holds it against its own table and looks for the files; and the pairs
 * of paths that an engine hands over. The first byte chooses. */
#include "common/scoped.h"
#include "proto/codec.h"
#include "services/worker/hand_over.h"
#include "services/worker/node.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 0x80, SYSTEM = 0x40, ROWS = 0x3f }; /* in the first byte */

static void fuzz_files(struct slice files)
{
    const struct hand_over row = { .work = "none", .folder = "none", .files = files };
    struct fault fault = { 0 };
    int r = codec_check(files) ? 0 : hand_over(&row, &fault);
    assert(r == fault.code && (r == 0 || fault.message[0]));
}

static void fuzz_given(uint8_t chosen, struct slice given)
{
    const struct node_table *table = chosen & SYSTEM ? &nodes_system : &nodes_ffmpeg;
    const struct inputs_places places = { .folder = ".", .roots = "/usr/share/zoneinfo" };
    scoped_in(packed) inputs = { 0 };
    struct fault fault = { 0 };
    int r = inputs_resolve(&table->rows[(chosen & ROWS) % table->count], &places, given, &inputs,
                           &fault);
    assert(r == fault.code && (r == 0 || fault.message[0]));
    if (r == 0)
        assert(codec_check(packed_slice(&inputs)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] & FILES)
        fuzz_files(slice_make(data + 1, size - 1));
    else if (size)
        fuzz_given(data[0], slice_make(data + 1, size - 1));
    return 0;
}
