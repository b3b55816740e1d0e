#include "proto/message.h"

#include "common/status.h"
#include "proto/codec.h"

#define MESSAGE_N_REQ true
#define MESSAGE_N_OPT false
#define MESSAGE_ROW(T, kind, name, need, most, text)                                               \
    { #name, sizeof #name - 1, MESSAGE_N_##need, MESSAGE_##kind, (most), offsetof(struct T, name), \
      text },
#define MESSAGE_ROWS(T, name)                                                                  \
    static const struct message_field name##_fields[] = { T##_FIELDS(MESSAGE_ROW, m_##name) }; \
    const struct message_layout m_##name##_layout = { #name, sizeof(struct m_##name),          \
                                                      sizeof name##_fields /                   \
                                                          sizeof *name##_fields,               \
                                                      name##_fields };
MESSAGES(MESSAGE_ROWS)

#define MESSAGE_POINTER(T, name) &m_##name##_layout,
const struct message_layout *const message_layouts[] = { MESSAGES(MESSAGE_POINTER) NULL };

static bool get_u32(const struct token *t, uint32_t *to)
{
    if (t->kind != KIND_UINT || t->whole > UINT32_MAX)
        return false;
    *to = (uint32_t)t->whole;
    return true;
}

static bool get_u64(const struct token *t, uint64_t *to)
{
    if (t->kind != KIND_UINT)
        return false;
    *to = t->whole;
    return true;
}

static bool get_i64(const struct token *t, int64_t *to)
{
    if (t->kind == KIND_INT)
        *to = t->negative;
    else if (t->kind == KIND_UINT && t->whole <= INT64_MAX)
        *to = (int64_t)t->whole;
    else
        return false;
    return true;
}

static bool get_bool(const struct token *t, bool *to)
{
    if (t->kind != KIND_BOOL)
        return false;
    *to = t->truth;
    return true;
}

static bool get_bytes(const struct message_field *field, const struct token *t, struct slice *to)
{
    if (t->kind != (field->kind == MESSAGE_STR ? KIND_STR : KIND_BIN))
        return false;
    *to = t->bytes;
    return field->most == 0 || t->bytes.size <= field->most;
}

/* A value, its first token read already. */
static bool get(const struct message_field *field, struct slice value, const struct token *t,
                char *m)
{
    void *to = m + field->offset;
    switch (field->kind) {
    case MESSAGE_U32:
        return get_u32(t, to);
    case MESSAGE_U64:
        return get_u64(t, to);
    case MESSAGE_I64:
        return get_i64(t, to);
    case MESSAGE_F64:
        return codec_number(value, to);
    case MESSAGE_BOOL:
        return get_bool(t, to);
    case MESSAGE_STR:
    case MESSAGE_BIN:
        return get_bytes(field, t, to);
    case MESSAGE_RAW:
        break;
    }
    *(struct slice *)to = value;
    return true;
}

/* Peers mostly write fields in the order of the rows: the search starts where the last one ended.
 */
static uint32_t find(const struct message_layout *layout, struct slice name, uint32_t start)
{
    uint32_t at = start < layout->count ? start : 0;
    for (uint32_t i = 0; i < layout->count; i++) {
        const struct message_field *field = &layout->fields[at];
        if (name.size == field->name_size && memcmp(name.data, field->name, name.size) == 0)
            return at;
        at = at + 1 < layout->count ? at + 1 : 0;
    }
    return UINT32_MAX;
}

/* The next pair of a map; t is the value's first token. */
static bool next_pair(struct reader *r, struct slice *ret_name, struct slice *ret_value,
                      struct token *t)
{
    if (!reader_next(r, t) || t->kind != KIND_STR)
        return false;
    *ret_name = t->bytes;
    const struct reader before = *r;
    if (!reader_next(r, t))
        return false;
    if (t->kind == KIND_ARRAY || t->kind == KIND_MAP) {
        *r = before;
        return reader_value(r, ret_value);
    }
    *ret_value = slice_make(before.at, (size_t)(r->at - before.at));
    return true;
}

static int wrong(const struct message_field *field, const char **ret_field)
{
    if (ret_field)
        *ret_field = field->name;
    return STATUS_INVALID;
}

static int missing(const struct message_layout *layout, uint64_t seen, const char **ret_field)
{
    for (uint32_t i = 0; i < layout->count; i++)
        if (layout->fields[i].required && !(seen & 1u << i))
            return wrong(&layout->fields[i], ret_field);
    return 0;
}

static int read_map(const struct message_layout *layout, struct reader *r, void *m,
                    const char **ret_field)
{
    struct token t;
    uint32_t at = 0;
    uint64_t seen = 0;
    memset(m, 0, layout->size);
    if (!reader_next(r, &t) || t.kind != KIND_MAP)
        return STATUS_MALFORMED;
    for (uint32_t pairs = t.count; pairs > 0; pairs--) {
        struct slice name, value;
        if (!next_pair(r, &name, &value, &t))
            return STATUS_MALFORMED;
        uint32_t found = find(layout, name, at);
        if (found == UINT32_MAX || t.kind == KIND_NIL)
            continue;
        if (!get(&layout->fields[found], value, &t, m))
            return wrong(&layout->fields[found], ret_field);
        seen |= 1u << found;
        at = found + 1;
    }
    return missing(layout, seen, ret_field);
}

int message_decode(const struct message_layout *layout, struct slice map, void *m,
                   const char **ret_field)
{
    struct reader r = reader_of(map);
    return read_map(layout, &r, m, ret_field);
}

int message_next(const struct message_layout *layout, struct reader *reader, void *m,
                 const char **ret_field)
{
    const struct reader before = *reader;
    struct slice skipped;
    int r = read_map(layout, reader, m, ret_field);
    if (r == 0)
        return 0;
    *reader = before;
    if (!reader_value(reader, &skipped))
        reader->at = reader->end;
    return r;
}

static bool is_zero(const struct message_field *field, const char *from)
{
    uint32_t u32;
    uint64_t u64;
    struct slice s;
    switch (field->kind) {
    case MESSAGE_BOOL:
        return *from == 0;
    case MESSAGE_U32:
        memcpy(&u32, from, sizeof u32);
        return u32 == 0;
    case MESSAGE_U64:
    case MESSAGE_I64:
    case MESSAGE_F64:
        memcpy(&u64, from, sizeof u64);
        return u64 == 0;
    case MESSAGE_STR:
    case MESSAGE_BIN:
    case MESSAGE_RAW:
        break;
    }
    memcpy(&s, from, sizeof s);
    return s.size == 0;
}

static void put_number(const struct message_field *field, const char *from, msgpack_packer *pk)
{
    union {
        uint32_t u32;
        uint64_t u64;
        int64_t i64;
        double f64;
    } v;
    if (field->kind == MESSAGE_U32) {
        memcpy(&v.u32, from, sizeof v.u32);
        msgpack_pack_uint32(pk, v.u32);
    } else if (field->kind == MESSAGE_U64) {
        memcpy(&v.u64, from, sizeof v.u64);
        msgpack_pack_uint64(pk, v.u64);
    } else if (field->kind == MESSAGE_I64) {
        memcpy(&v.i64, from, sizeof v.i64);
        msgpack_pack_int64(pk, v.i64);
    } else {
        memcpy(&v.f64, from, sizeof v.f64);
        msgpack_pack_double(pk, v.f64);
    }
}

static void put(const struct message_field *field, const char *from, msgpack_packer *pk)
{
    struct slice s;
    if (field->kind == MESSAGE_BOOL) {
        bool truth;
        memcpy(&truth, from, sizeof truth);
        if (truth)
            msgpack_pack_true(pk);
        else
            msgpack_pack_false(pk);
        return;
    }
    if (field->kind > MESSAGE_RAW) {
        put_number(field, from, pk);
        return;
    }
    memcpy(&s, from, sizeof s);
    if (field->kind == MESSAGE_STR)
        pack_slice(pk, s);
    else if (field->kind == MESSAGE_BIN)
        pack_bin(pk, s);
    else
        pack_raw(pk, s);
}

void message_encode(const struct message_layout *layout, const void *m, msgpack_packer *pk)
{
    uint64_t written = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < layout->count; i++) {
        const struct message_field *field = &layout->fields[i];
        if (!field->required && is_zero(field, (const char *)m + field->offset))
            continue;
        written |= 1u << i;
        count++;
    }
    msgpack_pack_map(pk, count);
    for (uint32_t i = 0; i < layout->count; i++) {
        if (!(written & 1u << i))
            continue;
        pack_slice(pk, slice_make(layout->fields[i].name, layout->fields[i].name_size));
        put(&layout->fields[i], (const char *)m + layout->fields[i].offset, pk);
    }
}

const char *verb_text(uint32_t verb)
{
    switch (verb) {
#define VERB_TEXT(name, number, who, body, answer, text) \
    case number:                                         \
        return #name;
        VERBS(VERB_TEXT)
#undef VERB_TEXT
    default:
        return "?";
    }
}

static const struct {
    const char *text;
    bool terminal;
} states[STATE_END] = {
#define STATE_TEXT(name, number, text, terminal) [number] = { text, terminal },
    STATES(STATE_TEXT)
#undef STATE_TEXT
};

static const char *const priorities[PRIORITY_END] = {
#define PRIORITY_TEXT(name, number, text) [number] = (text),
    PRIORITIES(PRIORITY_TEXT)
#undef PRIORITY_TEXT
};

const char *state_text(int state)
{
    return state >= 0 && state < STATE_END ? states[state].text : "?";
}

int state_by_text(struct slice text)
{
    for (int i = 0; i < STATE_END; i++)
        if (slice_is(text, states[i].text))
            return i;
    return -1;
}

bool state_terminal(int state)
{
    return state >= 0 && state < STATE_END && states[state].terminal;
}

const char *priority_text(uint32_t priority)
{
    return priority < PRIORITY_END ? priorities[priority] : "?";
}

int priority_by_text(struct slice text)
{
    for (int i = 0; i < PRIORITY_END; i++)
        if (slice_is(text, priorities[i]))
            return i;
    return -1;
}
