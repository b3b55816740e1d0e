#include "proto/json.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* One more than the wire's depth: the innermost level may still hold scalars. */
enum { LEVELS = WIRE_DEPTH_MAX + 1 };

/* ---- from msgpack ---- */

struct level {
    json_t *container; /* borrowed from its parent, the outermost from the caller */
    uint32_t left;     /* elements, or pairs */
};

static json_t *hex_text(struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    scoped_text char *text = malloc(2 * bytes.size + 1);
    if (!text)
        return NULL;
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        text[2 * i] = digits[at[i] >> 4];
        text[2 * i + 1] = digits[at[i] & 15];
    }
    return json_stringn(text, 2 * bytes.size);
}

static json_t *whole_value(uint64_t whole)
{
    if (whole <= INT64_MAX)
        return json_integer((json_int_t)whole);
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, whole);
    return json_string(text);
}

static json_t *value_of(const struct token *token)
{
    switch (token->kind) {
    case KIND_NIL:
        return json_null();
    case KIND_BOOL:
        return json_boolean(token->truth);
    case KIND_UINT:
        return whole_value(token->whole);
    case KIND_INT:
        return json_integer(token->negative);
    case KIND_FLOAT:
        return isfinite(token->number) ? json_real(token->number) : json_null();
    case KIND_STR:
        return json_stringn(token->bytes.data, token->bytes.size);
    case KIND_BIN:
    case KIND_EXT:
        return hex_text(token->bytes);
    case KIND_ARRAY:
        return json_array();
    case KIND_MAP:
        return json_object();
    }
    return NULL;
}

static bool key_text(const struct token *token, char number[24], struct slice *ret_key)
{
    if (token->kind == KIND_STR) {
        *ret_key = token->bytes;
        return true;
    }
    if (token->kind == KIND_UINT)
        (void)snprintf(number, 24, "%" PRIu64, token->whole);
    else if (token->kind == KIND_INT)
        (void)snprintf(number, 24, "%" PRId64, token->negative);
    else
        return false;
    *ret_key = slice_of(number);
    return true;
}

/* Takes value, also when it fails. */
static int attach(json_t *container, struct slice key, json_t *value)
{
    int r =
        json_is_array(container)
            ? json_array_append_new(container, value)
            : json_object_setn_new_nocheck(container, key.size ? key.data : "", key.size, value);
    return r ? -ENOMEM : 0;
}

/* Reads one value (with its key, in a map) into the innermost level, and opens a level for a
 * container. */
static int step(struct reader *reader, struct level *levels, size_t *depth)
{
    struct level *top = &levels[*depth - 1];
    struct token token;
    struct slice key = { 0 };
    char number[24];
    top->left--;
    if (json_is_object(top->container) &&
        (!reader_next(reader, &token) || !key_text(&token, number, &key)))
        return STATUS_MALFORMED;
    if (!reader_next(reader, &token))
        return STATUS_MALFORMED;
    json_t *value = value_of(&token);
    if (!value)
        return -ENOMEM;
    int r = attach(top->container, key, value);
    if (r || (token.kind != KIND_ARRAY && token.kind != KIND_MAP))
        return r;
    if (*depth == LEVELS)
        return STATUS_MALFORMED;
    levels[(*depth)++] = (struct level){ value, token.count };
    return 0;
}

int json_from_packed(struct slice packed, json_t **ret_value)
{
    static const uint8_t nil = 0xc0;
    if (packed.size == 0)
        packed = slice_make(&nil, 1);
    if (codec_check(packed))
        return STATUS_MALFORMED;

    struct reader reader = reader_of(packed);
    struct level levels[LEVELS];
    size_t depth = 1;
    /* A list of one holds the value, so that the outermost is no special case. */
    json_t *holder = json_array();
    levels[0] = (struct level){ holder, 1 };
    int r = holder ? 0 : -ENOMEM;
    while (r == 0 && depth) {
        if (levels[depth - 1].left == 0)
            depth--;
        else
            r = step(&reader, levels, &depth);
    }
    if (r == 0)
        *ret_value = json_incref(json_array_get(holder, 0));
    json_decref(holder);
    return r;
}

/* ---- to msgpack ---- */

struct place {
    const json_t *container;
    size_t index; /* of a list */
    void *iter;   /* of a map */
};

static void pack_scalar(const json_t *value, msgpack_packer *pk)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        pack_slice(pk, slice_make(json_string_value(value), json_string_length(value)));
        break;
    case JSON_INTEGER:
        msgpack_pack_int64(pk, json_integer_value(value));
        break;
    case JSON_REAL:
        msgpack_pack_double(pk, json_real_value(value));
        break;
    case JSON_TRUE:
        msgpack_pack_true(pk);
        break;
    case JSON_FALSE:
        msgpack_pack_false(pk);
        break;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        msgpack_pack_nil(pk);
        break;
    }
}

/* jansson's iterators take the map as mutable, but only read it. */
static json_t *mutable(const json_t *value)
{
    union {
        const json_t *in;
        json_t *out;
    } cast = { value };
    return cast.out;
}

/* The next value of a place, its key packed before it; NULL at the end. */
static const json_t *next_of(struct place *place, msgpack_packer *pk)
{
    if (json_is_array(place->container))
        return json_array_get(place->container, place->index++);
    if (!place->iter)
        return NULL;
    pack_slice(
        pk, slice_make(json_object_iter_key(place->iter), json_object_iter_key_len(place->iter)));
    const json_t *value = json_object_iter_value(place->iter);
    place->iter = json_object_iter_next(mutable(place->container), place->iter);
    return value;
}

static bool is_container(const json_t *value)
{
    return json_is_array(value) || json_is_object(value);
}

static struct place enter(const json_t *container, msgpack_packer *pk)
{
    if (json_is_array(container))
        msgpack_pack_array(pk, json_array_size(container));
    else
        msgpack_pack_map(pk, json_object_size(container));
    void *iter = json_is_object(container) ? json_object_iter(mutable(container)) : NULL;
    return (struct place){ .container = container, .iter = iter };
}

int json_pack_value(const json_t *value, msgpack_packer *pk)
{
    struct place places[WIRE_DEPTH_MAX];
    size_t depth = 0;
    if (is_container(value))
        places[depth++] = enter(value, pk);
    else
        pack_scalar(value, pk);

    while (depth) {
        const json_t *next = next_of(&places[depth - 1], pk);
        if (!next)
            depth--;
        else if (!is_container(next))
            pack_scalar(next, pk);
        else if (depth == WIRE_DEPTH_MAX)
            return STATUS_TOO_LARGE;
        else
            places[depth++] = enter(next, pk);
    }
    return 0;
}

/* ---- words of the command line ---- */

static json_t *pair_value(const char *text, bool text_only)
{
    json_t *value = NULL;
    if (!text_only)
        value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (json_is_string(value)) { /* quotes are the text's own */
        json_decref(value);
        value = NULL;
    }
    return value ? value : json_string(text);
}

int json_put_pair(json_t *object, const char *pair, bool text_only, char error[JSON_ERROR])
{
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair) {
        (void)snprintf(error, JSON_ERROR, "%s is not KEY=VALUE", pair);
        return STATUS_INVALID;
    }
    scoped_text char *key = slice_dup(slice_make(pair, (size_t)(equals - pair)));
    if (!key)
        return -ENOMEM;
    if (json_object_get(object, key)) {
        (void)snprintf(error, JSON_ERROR, "%s is given twice", key);
        return STATUS_INVALID;
    }
    json_t *value = pair_value(equals + 1, text_only);
    if (!value) {
        (void)snprintf(error, JSON_ERROR, "the value of %s is not UTF-8 text", key);
        return STATUS_INVALID;
    }
    if (json_object_set_new(object, key, value)) {
        (void)snprintf(error, JSON_ERROR, "the name before = is not UTF-8 text");
        return STATUS_INVALID;
    }
    return 0;
}

char *json_line(const json_t *value)
{
    if (json_is_string(value))
        return slice_dup(slice_make(json_string_value(value), json_string_length(value)));
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
}
