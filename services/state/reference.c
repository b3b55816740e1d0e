#include "services/state/reference.h"

#include "common/paths.h"
#include "common/status.h"

enum { SHOWN_MAX = 80, PLACE_DIGITS_MAX = 9 };

static const char opening[] = "${{", closing[] = "}}";
#define RULE "must be ${{ stages.SERVICE.METHOD.output.NAME }}"

/* Where these characters stand at or behind a place; text.size: nowhere. */
static size_t place_of(struct slice text, size_t from, const char *what)
{
    const char *at = text.data;
    const size_t size = strlen(what);
    while (from + size <= text.size) {
        const char *first = memchr(at + from, *what, text.size - size + 1 - from);
        if (!first)
            return text.size;
        if (memcmp(first, what, size) == 0)
            return (size_t)(first - at);
        from = (size_t)(first - at) + 1;
    }
    return text.size;
}

static struct slice cut(struct slice text, size_t from, size_t to)
{
    return from ? slice_make((const char *)text.data + from, to - from) : slice_make(text.data, to);
}

static struct slice trimmed(struct slice text)
{
    const char *at = text.data;
    size_t from = 0, to = text.size;
    while (from < to && at[from] == ' ')
        from++;
    while (to > from && at[to - 1] == ' ')
        to--;
    return cut(text, from, to);
}

/* Takes the word before the next dot, or all that is left. */
static struct slice next_word(struct slice *rest)
{
    const size_t dot = place_of(*rest, 0, ".");
    const struct slice word = cut(*rest, 0, dot);
    *rest = dot < rest->size ? cut(*rest, dot + 1, rest->size) : (struct slice){ 0 };
    return word;
}

/* Words of anything but blanks and braces, none of them empty. */
static bool is_path(struct slice path)
{
    const char *at = path.data;
    bool word = false;
    for (size_t i = 0; i < path.size; i++) {
        if (strchr(" \t\r\n{}", at[i]) || (at[i] == '.' && !word))
            return false;
        word = at[i] != '.';
    }
    return word;
}

static bool read(struct slice inner, struct reference *reference)
{
    struct slice rest = inner;
    if (!slice_is(next_word(&rest), "stages"))
        return false;
    const struct slice service = next_word(&rest), method = next_word(&rest);
    if (service.size == 0 || method.size == 0)
        return false;
    reference->task = slice_make(service.data, service.size + 1 + method.size);
    if (!task_name_valid(reference->task) || !slice_is(next_word(&rest), "output"))
        return false;
    reference->path = rest;
    return is_path(rest);
}

struct slice reference_shown(struct slice text)
{
    const uint8_t *at = text.data;
    size_t size = text.size < SHOWN_MAX ? text.size : SHOWN_MAX;
    while (size && size < text.size && (at[size] & 0xc0) == 0x80)
        size--; /* at whole characters */
    return slice_make(text.data, size);
}

int reference_next(struct slice text, size_t from, struct reference *ret_reference,
                   struct refusal *why)
{
    const size_t begin = place_of(text, from, opening);
    if (begin >= text.size)
        return STATUS_EMPTY;
    const size_t inner = begin + sizeof opening - 1;
    const size_t end = place_of(text, inner, closing);
    struct reference reference = { .from = begin, .to = end + sizeof closing - 1 };
    if (end < text.size && read(trimmed(cut(text, inner, end)), &reference)) {
        *ret_reference = reference;
        return 0;
    }
    const struct slice wrong = cut(text, begin, end < text.size ? reference.to : text.size);
    return refusal_say(why, STATUS_INVALID, NULL, "%.*s: " RULE, SLICE_ARG(reference_shown(wrong)));
}

struct value_parts value_parts_of(struct slice value)
{
    return (struct value_parts){ .reader = reader_of(value), .open = { 1 } };
}

bool value_parts_next(struct value_parts *self, struct value_part *ret_part)
{
    struct token token;
    const uint8_t *from = self->reader.at;
    while (self->depth && self->open[self->depth] == 0)
        self->depth--;
    if (self->open[self->depth] == 0 || !reader_next(&self->reader, &token))
        return false;
    const bool key = self->map[self->depth] && self->open[self->depth] % 2 == 0;
    self->open[self->depth]--;
    *ret_part = (struct value_part){ .bytes = slice_make(from, (size_t)(self->reader.at - from)) };
    if (token.kind == KIND_STR && !key)
        ret_part->text = token.bytes;
    if (token.kind != KIND_ARRAY && token.kind != KIND_MAP)
        return true;
    if (self->depth == WIRE_DEPTH_MAX) /* a checked value is not so deep */
        return false;
    self->depth++;
    self->map[self->depth] = token.kind == KIND_MAP;
    self->open[self->depth] = (uint64_t)token.count * (token.kind == KIND_MAP ? 2 : 1);
    return true;
}

/* The next text that has what begins a reference. */
static bool next_text(struct value_parts *parts, struct slice *ret_text)
{
    struct value_part part;
    while (value_parts_next(parts, &part)) {
        if (place_of(part.text, 0, opening) < part.text.size) {
            *ret_text = part.text;
            return true;
        }
    }
    return false;
}

bool reference_possible(struct slice value)
{
    return value.size && memchr(value.data, *opening, value.size) != NULL;
}

static int check_text(struct slice text, uint32_t *count, struct refusal *why)
{
    struct reference reference = { 0 };
    for (;;) {
        int r = reference_next(text, reference.to, &reference, why);
        if (r)
            return r == STATUS_EMPTY ? 0 : r;
        if (++*count > REFERENCES_MAX)
            return refusal_say(why, STATUS_INVALID, NULL, "more than %d references in one stage",
                               REFERENCES_MAX);
    }
}

int reference_check(struct slice value, uint32_t *count, struct refusal *why)
{
    struct value_parts parts = value_parts_of(value);
    struct slice text;
    int r = 0;
    while (!r && next_text(&parts, &text))
        r = check_text(text, count, why);
    return r;
}

bool reference_whole(struct slice value)
{
    struct reference reference = { 0 };
    struct refusal why;
    struct slice text = { 0 };
    return codec_str(value, &text) && reference_next(text, 0, &reference, &why) == 0 &&
           reference.from == 0 && reference.to == text.size;
}

static bool find_key(struct reader *pairs, uint32_t count, struct slice key,
                     struct slice *ret_value)
{
    for (uint32_t i = 0; i < count; i++) {
        struct slice name, value;
        if (!reader_value(pairs, &name) || !reader_value(pairs, &value))
            return false;
        if (codec_str(name, &name) && slice_equal(name, key)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool find_place(struct reader *values, uint32_t count, struct slice digits,
                       struct slice *ret_value)
{
    uint32_t place = 0;
    const char *at = digits.data;
    if (digits.size > PLACE_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < digits.size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        place = place * 10 + (uint32_t)(at[i] - '0');
    }
    for (uint32_t i = 0; place < count && i < place; i++)
        if (!reader_value(values, ret_value))
            return false;
    return place < count && reader_value(values, ret_value);
}

bool reference_find(struct slice path, struct slice output, struct slice *ret_value)
{
    struct slice rest = path, value = output;
    bool found = output.size && path.size;
    while (found && rest.size) {
        const struct slice word = next_word(&rest);
        struct reader reader;
        uint32_t count;
        if (codec_map(value, &reader, &count))
            found = find_key(&reader, count, word, &value);
        else
            found = codec_array(value, &reader, &count) && find_place(&reader, count, word, &value);
    }
    if (found)
        *ret_value = value;
    return found;
}
