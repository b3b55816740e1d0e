#include "proto/codec.h"

#include "common/status.h"
#include "common/utf8.h"
#include "proto/schema.h"

static uint64_t big_endian(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | at[i];
    return value;
}

/* What a leading byte of 0xc0..0xdf means: how many bytes of length or value follow it. */
struct lead {
    enum kind kind;
    uint8_t size; /* bytes of the number that follows */
    bool sized;   /* that number is a length or count, else the value itself */
    bool known;
};

// clang-format off
static const struct lead leads[32] = {
    [0x00] = { KIND_NIL, 0, false, true },
    [0x02] = { KIND_BOOL, 0, false, true },  [0x03] = { KIND_BOOL, 0, false, true },
    [0x04] = { KIND_BIN, 1, true, true },    [0x05] = { KIND_BIN, 2, true, true },   [0x06] = { KIND_BIN, 4, true, true },
    [0x07] = { KIND_EXT, 1, true, true },    [0x08] = { KIND_EXT, 2, true, true },   [0x09] = { KIND_EXT, 4, true, true },
    [0x0a] = { KIND_FLOAT, 4, false, true }, [0x0b] = { KIND_FLOAT, 8, false, true },
    [0x0c] = { KIND_UINT, 1, false, true },  [0x0d] = { KIND_UINT, 2, false, true },
    [0x0e] = { KIND_UINT, 4, false, true },  [0x0f] = { KIND_UINT, 8, false, true },
    [0x10] = { KIND_INT, 1, false, true },   [0x11] = { KIND_INT, 2, false, true },
    [0x12] = { KIND_INT, 4, false, true },   [0x13] = { KIND_INT, 8, false, true },
    [0x14] = { KIND_EXT, 0, false, true },   [0x15] = { KIND_EXT, 0, false, true },  [0x16] = { KIND_EXT, 0, false, true },
    [0x17] = { KIND_EXT, 0, false, true },   [0x18] = { KIND_EXT, 0, false, true },
    [0x19] = { KIND_STR, 1, true, true },    [0x1a] = { KIND_STR, 2, true, true },   [0x1b] = { KIND_STR, 4, true, true },
    [0x1c] = { KIND_ARRAY, 2, true, true },  [0x1d] = { KIND_ARRAY, 4, true, true },
    [0x1e] = { KIND_MAP, 2, true, true },    [0x1f] = { KIND_MAP, 4, true, true },
};
// clang-format on

static size_t left(const struct reader *self)
{
    return (size_t)(self->end - self->at);
}

static bool take_bytes(struct reader *self, uint64_t size, struct token *t)
{
    if (size > left(self))
        return false;
    t->bytes = slice_make(self->at, (size_t)size);
    self->at += size;
    return true;
}

static bool take_signed(uint64_t raw, unsigned size, struct token *t)
{
    static const uint64_t signs[] = {
        [1] = 0x80, [2] = 0x8000, [4] = 0x80000000, [8] = 0x8000000000000000
    };
    uint64_t sign = signs[size];
    if (!(raw & sign)) {
        t->kind = KIND_UINT;
        t->whole = raw;
    } else {
        t->negative = (int64_t)(raw | ~(sign - 1)); /* the bits above are the sign's */
    }
    return true;
}

static bool take_float(uint64_t raw, unsigned size, struct token *t)
{
    if (size == 4) {
        uint32_t bits = (uint32_t)raw;
        float value;
        memcpy(&value, &bits, sizeof value);
        t->number = (double)value;
    } else {
        memcpy(&t->number, &raw, sizeof raw);
    }
    return true;
}

/* The value that follows a lead of fixed width. */
static bool take_fixed(uint8_t byte, const struct lead *lead, uint64_t raw, struct token *t)
{
    if (lead->kind == KIND_BOOL)
        t->truth = byte == 0xc3;
    else if (lead->kind == KIND_UINT)
        t->whole = raw;
    else if (lead->kind == KIND_INT)
        return take_signed(raw, lead->size, t);
    else if (lead->kind == KIND_FLOAT)
        return take_float(raw, lead->size, t);
    else
        return lead->kind == KIND_NIL;
    return true;
}

static bool take_sized(struct reader *self, uint64_t size, struct token *t)
{
    if (t->kind == KIND_ARRAY || t->kind == KIND_MAP) {
        t->count = (uint32_t)size;
        return true;
    }
    return take_bytes(self, t->kind == KIND_EXT ? size + 1 : size,
                      t); /* an ext has its type before */
}

static bool next_lead(struct reader *self, uint8_t byte, struct token *t)
{
    const struct lead *lead = &leads[byte - 0xc0];
    if (!lead->known || lead->size > left(self))
        return false;
    uint64_t raw = big_endian(self->at, lead->size);
    self->at += lead->size;
    t->kind = lead->kind;
    if (lead->sized)
        return take_sized(self, raw, t);
    if (lead->kind == KIND_EXT)
        return take_bytes(self, 1 + (1u << (byte - 0xd4)), t);
    return take_fixed(byte, lead, raw, t);
}

bool reader_next(struct reader *self, struct token *ret_token)
{
    if (self->at == self->end)
        return false;
    uint8_t byte = *self->at++;
    ret_token->kind = KIND_UINT;
    if (byte < 0x80) {
        ret_token->whole = byte;
    } else if (byte < 0x90) {
        ret_token->kind = KIND_MAP;
        ret_token->count = byte & 0x0f;
    } else if (byte < 0xa0) {
        ret_token->kind = KIND_ARRAY;
        ret_token->count = byte & 0x0f;
    } else if (byte < 0xc0) {
        ret_token->kind = KIND_STR;
        return take_bytes(self, byte & 0x1f, ret_token);
    } else if (byte < 0xe0) {
        return next_lead(self, byte, ret_token);
    } else {
        ret_token->kind = KIND_INT;
        ret_token->negative = (int64_t)byte - 256;
    }
    return true;
}

/* Elements a token announces: a map's pairs count twice. */
static uint64_t inside(const struct token *t)
{
    if (t->kind == KIND_ARRAY)
        return t->count;
    return t->kind == KIND_MAP ? 2 * (uint64_t)t->count : 0;
}

bool reader_value(struct reader *self, struct slice *ret_value)
{
    struct reader r = *self;
    struct token t;
    uint64_t open = 1;
    while (open) {
        if (open > left(&r) || !reader_next(&r, &t))
            return false;
        open += inside(&t) - 1;
    }
    *ret_value = slice_make(self->at, (size_t)(r.at - self->at));
    *self = r;
    return true;
}

/* What is still to come in the containers that are open, a level each. */
struct nest {
    uint64_t open[WIRE_DEPTH_MAX + 1];
    uint64_t pending; /* over all levels: each value needs a byte at least */
    unsigned depth;
};

/* Steps over the ends of containers. False: that was the last value. */
static bool expects_more(struct nest *nest)
{
    while (nest->open[nest->depth] == 0) {
        if (nest->depth == 0)
            return false;
        nest->depth--;
    }
    return true;
}

static bool descend(struct nest *nest, const struct token *t, size_t bytes_left)
{
    nest->pending += inside(t);
    if (++nest->depth > WIRE_DEPTH_MAX || nest->pending > bytes_left)
        return false;
    nest->open[nest->depth] = inside(t);
    return true;
}

int codec_check(struct slice bytes)
{
    struct reader r = reader_of(bytes);
    struct nest nest = { .open = { 1 }, .pending = 1 };
    while (expects_more(&nest)) {
        struct token t;
        nest.open[nest.depth]--;
        nest.pending--;
        if (!reader_next(&r, &t) || (t.kind == KIND_STR && !utf8_is(t.bytes)))
            return STATUS_MALFORMED;
        bool container = t.kind == KIND_ARRAY || t.kind == KIND_MAP;
        if (container && !descend(&nest, &t, left(&r)))
            return STATUS_MALFORMED;
    }
    return left(&r) ? STATUS_MALFORMED : 0;
}

unsigned codec_depth(struct slice value)
{
    struct reader r = reader_of(value);
    struct nest nest = { .open = { 1 }, .pending = 1 };
    unsigned deepest = 0;
    while (expects_more(&nest)) {
        struct token t;
        nest.open[nest.depth]--;
        if (!reader_next(&r, &t))
            break;
        bool container = t.kind == KIND_ARRAY || t.kind == KIND_MAP;
        if (container && !descend(&nest, &t, SIZE_MAX))
            break;
        if (nest.depth > deepest)
            deepest = nest.depth;
    }
    return deepest;
}

static bool one(struct slice value, struct token *t)
{
    struct reader r = reader_of(value);
    return reader_next(&r, t);
}

bool codec_find(struct slice map, const char *key, struct slice *ret_value)
{
    struct reader r;
    uint32_t pairs;
    if (!codec_map(map, &r, &pairs))
        return false;
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice name, value;
        if (!reader_value(&r, &name) || !reader_value(&r, &value))
            return false;
        if (codec_str(name, &name) && slice_is(name, key)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

bool codec_str(struct slice value, struct slice *ret_text)
{
    struct token t;
    if (!one(value, &t) || t.kind != KIND_STR)
        return false;
    *ret_text = t.bytes;
    return true;
}

bool codec_whole(struct slice value, uint64_t *ret_whole)
{
    struct token t;
    if (!one(value, &t) || t.kind != KIND_UINT)
        return false;
    *ret_whole = t.whole;
    return true;
}

bool codec_number(struct slice value, double *ret_number)
{
    struct token t;
    if (!one(value, &t))
        return false;
    if (t.kind == KIND_UINT)
        *ret_number = (double)t.whole;
    else if (t.kind == KIND_INT)
        *ret_number = (double)t.negative;
    else if (t.kind == KIND_FLOAT)
        *ret_number = t.number;
    else
        return false;
    return true;
}

bool codec_bool(struct slice value, bool *ret_truth)
{
    struct token t;
    if (!one(value, &t) || t.kind != KIND_BOOL)
        return false;
    *ret_truth = t.truth;
    return true;
}

bool codec_is(struct slice value, enum kind kind)
{
    struct token t;
    return one(value, &t) && t.kind == kind;
}

bool codec_is_nil(struct slice value)
{
    return codec_is(value, KIND_NIL);
}

static bool head_of(struct slice value, enum kind kind, struct reader *ret_reader,
                    uint32_t *ret_count)
{
    struct reader r = reader_of(value);
    struct token t;
    if (!reader_next(&r, &t) || t.kind != kind)
        return false;
    *ret_reader = r;
    *ret_count = t.count;
    return true;
}

bool codec_array(struct slice value, struct reader *ret_reader, uint32_t *ret_count)
{
    return head_of(value, KIND_ARRAY, ret_reader, ret_count);
}

bool codec_map(struct slice value, struct reader *ret_reader, uint32_t *ret_pairs)
{
    return head_of(value, KIND_MAP, ret_reader, ret_pairs);
}

void pack_text(msgpack_packer *pk, const char *text)
{
    pack_slice(pk, slice_of(text));
}

/* Head and bytes in one write. */
static void pack_short(msgpack_packer *pk, struct slice text)
{
    char bytes[32];
    bytes[0] = (char)(0xa0 | text.size);
    memcpy(bytes + 1, text.data, text.size);
    pk->callback(pk->data, bytes, text.size + 1);
}

void pack_slice(msgpack_packer *pk, struct slice text)
{
    if (text.size && text.size < 32) {
        pack_short(pk, text);
        return;
    }
    msgpack_pack_str(pk, text.size);
    if (text.size)
        msgpack_pack_str_body(pk, text.data, text.size);
}

void pack_bin(msgpack_packer *pk, struct slice bytes)
{
    msgpack_pack_bin(pk, bytes.size);
    if (bytes.size)
        msgpack_pack_bin_body(pk, bytes.data, bytes.size);
}

void pack_raw(msgpack_packer *pk, struct slice value)
{
    if (value.size)
        pk->callback(pk->data, value.data, value.size);
    else
        msgpack_pack_nil(pk);
}
