#pragma once
/* Bounded reading of msgpack that a stranger sent, without allocation; writing is msgpack-c's.
 *
 * msgpack-c's own unpack reserves what a length claims (5 bytes can ask for 8 GiB), so foreign
 * bytes are read only here: one scan checks the whole structure, after which the reader may trust
 * counts. */
#include "common/slice.h"

#include <msgpack.h>

enum kind {
    KIND_NIL,
    KIND_BOOL,
    KIND_UINT,
    KIND_INT,
    KIND_FLOAT,
    KIND_STR,
    KIND_BIN,
    KIND_ARRAY,
    KIND_MAP,
    KIND_EXT
};

/* What stands at the reader: KIND_INT is negative only (whole numbers >= 0 are KIND_UINT). */
struct token {
    enum kind kind;
    union {
        bool truth;
        uint64_t whole;
        int64_t negative;
        double number;
        struct slice bytes; /* STR, BIN, EXT: borrowed */
        uint32_t count;     /* ARRAY: elements, MAP: pairs */
    };
};

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct reader reader_of(struct slice s)
{
    const uint8_t *at = s.data;
    return (struct reader){ at, at ? at + s.size : at };
}

/* 0 when bytes are exactly one value: no count larger than the bytes left could hold, nesting at
 * most WIRE_DEPTH_MAX, strings valid UTF-8. Else STATUS_MALFORMED. */
int codec_check(struct slice bytes);
/* How deep a checked value is nested: 0 for a number or text, 1 for an array of them. */
unsigned codec_depth(struct slice value);

/* Next token (containers: the head only). False at the end or on bytes that are none. */
bool reader_next(struct reader *self, struct token *ret_token);
/* One whole value with all in it; its bytes are borrowed. False as above. */
bool reader_value(struct reader *self, struct slice *ret_value);

/* Of a checked map: the value of a key, as its bytes. False when absent or bytes are no map. */
bool codec_find(struct slice map, const char *key, struct slice *ret_value);
/* Conversions of one value; false when it is of another kind or out of range. */
bool codec_str(struct slice value, struct slice *ret_text);
bool codec_whole(struct slice value, uint64_t *ret_whole);
bool codec_number(struct slice value, double *ret_number); /* any number */
bool codec_bool(struct slice value, bool *ret_truth);
bool codec_is(struct slice value, enum kind kind);
bool codec_is_nil(struct slice value);
/* Head of an array or map: its count, and a reader standing on the first element or key. */
bool codec_array(struct slice value, struct reader *ret_reader, uint32_t *ret_count);
bool codec_map(struct slice value, struct reader *ret_reader, uint32_t *ret_pairs);

/* Writers on msgpack-c's packer; out of memory is sticky in sbuffer as its callers check: see
 * buffer. */
void pack_text(msgpack_packer *pk, const char *text);
void pack_slice(msgpack_packer *pk, struct slice text);
void pack_bin(msgpack_packer *pk, struct slice bytes);
/* Bytes that are one packed value already; nil when empty. */
void pack_raw(msgpack_packer *pk, struct slice value);
