/* Entries of the stream of events, whoever wrote them. A line is an entry: its id, then names and
 * values. The first byte of all says what the subscriber wants. */
#include "common/scoped.h"
#include "proto/codec.h"
#include "services/state/updates.h"
#include "tests/fuzz/replies.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES = 16, LIMIT = 7, SERVICE = 8, ID = 16 /* bits of the first byte */ };

static struct {
    redisReply all, entries[ENTRIES], fields[ENTRIES];
    redisReply *items[ENTRIES], *pairs[ENTRIES][2];
    struct line lines[ENTRIES];
} made;

static void make_array(redisReply *reply, redisReply **items, size_t count)
{
    *reply = (redisReply){ .type = REDIS_REPLY_ARRAY, .element = items, .elements = count };
}

static void make_entry(char *text)
{
    const size_t n = made.all.elements++;
    struct line *line = &made.lines[n];
    line_read(line, text);
    made.items[n] = &made.entries[n];
    made.pairs[n][0] = line->items[0];
    made.pairs[n][1] = &made.fields[n];
    make_array(&made.fields[n], line->items + 1, line->all.elements - 1);
    make_array(&made.entries[n], made.pairs[n], *text == '?' ? 1 : 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped_in(updates) updates = { 0 };
    scoped_text char *text = size ? slice_dup(slice_make(data + 1, size - 1)) : NULL;
    const unsigned wants = size ? data[0] : 0;
    make_array(&made.all, made.items, 0);
    for (char *at, *rest = text; made.all.elements < ENTRIES && (at = cut_text(&rest, '\n'));)
        make_entry(at);
    assert(updates_read(&updates, &made.all) == 0);

    const struct update_filter filter = {
        .limit = 1 + (wants & LIMIT),
        .service = wants & SERVICE ? SLICE("ffmpeg") : (struct slice){ 0 },
        .id = wants & ID ? SLICE("a") : (struct slice){ 0 },
    };
    uint64_t seq;
    msgpack_sbuffer packed;
    msgpack_packer pk;
    const uint32_t count = updates_count(&updates, &filter, &seq);
    assert(count <= filter.limit && count <= updates.count);
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    updates_pack(&updates, &filter, count, &pk);
    assert(codec_check(slice_make(packed.data, packed.size)) == 0);
    msgpack_sbuffer_destroy(&packed);
    return 0;
}
