#include "services/state/upstream.h"

#include "common/status.h"
#include "proto/message.h"
#include "services/state/reference.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_SIZE = 32, DIGITS_LEAST = 15, DIGITS_MOST = 17 };

/* Inputs being resolved. */
struct work {
    const struct upstream *task;
    msgpack_sbuffer *to;
    msgpack_packer pk;
    size_t begun;        /* what the buffer had before */
    struct slice name;   /* of the input at hand */
    uint32_t references; /* so far */
    struct refusal *why;
};

static int too_large(const struct work *work, const char *what, uint64_t limit, uint64_t current)
{
    struct refusal *why = work->why;
    why->limit = limit;
    why->current = current;
    (void)refusal_input(why, work->name, "with what it refers to there are more than %zu %s",
                        (size_t)limit, what);
    return why->status = STATUS_TOO_LARGE;
}

static int check_size(const struct work *work, size_t more)
{
    const size_t size = work->to->size - work->begun + more;
    return size <= work->task->most ? 0 : too_large(work, "bytes", work->task->most, size);
}

static int write_bytes(struct work *work, struct slice bytes)
{
    int r = check_size(work, bytes.size);
    if (!r && bytes.size && msgpack_sbuffer_write(work->to, bytes.data, bytes.size))
        r = -ENOMEM;
    return r;
}

static int write_text(struct work *work, struct slice text)
{
    int r = check_size(work, text.size);
    if (!r && (msgpack_pack_str(&work->pk, text.size) ||
               (text.size && msgpack_pack_str_body(&work->pk, text.data, text.size))))
        r = -ENOMEM;
    return r;
}

static int refuse(const struct work *work, const struct reference *reference, const char *what)
{
    return refusal_input(work->why, work->name, "stages.%.*s.output.%.*s: %s",
                         SLICE_ARG(reference->task), SLICE_ARG(reference_shown(reference->path)),
                         what);
}

static const struct upstream_stage *find_stage(const struct upstream *task, struct slice name)
{
    for (size_t i = 0; i < task->stages_count; i++)
        if (slice_equal(task->stages[i].task, name))
            return &task->stages[i];
    return NULL;
}

/* What a reference means. */
static int look_up(const struct work *work, const struct reference *reference,
                   struct slice *ret_value)
{
    char what[64];
    if (slice_equal(reference->task, work->task->task))
        return refuse(work, reference, "this is the stage itself");
    const struct upstream_stage *stage = find_stage(work->task, reference->task);
    if (!stage)
        return refuse(work, reference, "the task has no such stage");
    if (!state_terminal(stage->state))
        return STATUS_BUSY;
    const bool well = stage->state == STATE_COMPLETED || stage->state == STATE_SKIPPED;
    if (well && reference_find(reference->path, stage->output, ret_value))
        return 0;
    snprintf(what, sizeof what, "the stage is %s%s", state_text(stage->state),
             well ? ", without such an output" : "");
    return refuse(work, reference, what);
}

/* As short as it can be and still be the same number. */
static void print_number(double number, char text[NUMBER_SIZE])
{
    for (int digits = DIGITS_LEAST; digits <= DIGITS_MOST; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, number);
        if (!(strtod(text, NULL) < number) && !(strtod(text, NULL) > number))
            return;
    }
}

/* A value as it reads within a text; digits is room for a number. False: it is neither text nor
 * number. */
static bool as_text(struct slice value, char digits[NUMBER_SIZE], struct slice *ret_text)
{
    struct reader reader = reader_of(value);
    struct token token;
    if (!reader_next(&reader, &token))
        return false;
    if (token.kind == KIND_STR) {
        *ret_text = token.bytes;
        return true;
    }
    if (token.kind == KIND_UINT)
        snprintf(digits, NUMBER_SIZE, "%" PRIu64, token.whole);
    else if (token.kind == KIND_INT)
        snprintf(digits, NUMBER_SIZE, "%" PRId64, token.negative);
    else if (token.kind == KIND_FLOAT && isfinite(token.number))
        print_number(token.number, digits);
    else
        return false;
    *ret_text = slice_of(digits);
    return true;
}

static int next_reference(struct work *work, struct slice text, size_t from,
                          struct reference *ret_reference)
{
    struct refusal wrong = { 0 };
    int r = reference_next(text, from, ret_reference, &wrong);
    if (r == STATUS_INVALID)
        return refusal_input(work->why, work->name, "%s", wrong.message);
    if (!r && ++work->references > REFERENCES_MAX)
        return refusal_input(work->why, work->name, "more than %d references in one stage",
                             REFERENCES_MAX);
    return r;
}

static int append(const struct work *work, msgpack_sbuffer *text, const void *bytes, size_t size)
{
    int r = check_size(work, text->size + size);
    if (!r && size && msgpack_sbuffer_write(text, bytes, size))
        r = -ENOMEM;
    return r;
}

/* Appends what a reference means. */
static int append_value(const struct work *work, const struct reference *reference,
                        msgpack_sbuffer *text)
{
    char digits[NUMBER_SIZE];
    struct slice value = { 0 }, words = { 0 };
    int r = look_up(work, reference, &value);
    if (r)
        return r;
    if (!as_text(value, digits, &words))
        return refuse(work, reference, "within a longer text it must be a text or a number");
    return append(work, text, words.data, words.size);
}

/* The text with the meaning of all its references in it, from the first one on. */
static int join(struct work *work, struct slice text, struct reference *reference,
                msgpack_sbuffer *joined)
{
    const char *at = text.data;
    size_t done = 0;
    int r = 0;
    while (!r) {
        r = append(work, joined, at + done, reference->from - done);
        if (!r)
            r = append_value(work, reference, joined);
        done = reference->to;
        if (!r)
            r = next_reference(work, text, done, reference);
    }
    return r == STATUS_EMPTY ? append(work, joined, at + done, text.size - done) : r;
}

/* bytes: the text as it is packed. */
static int resolve_text(struct work *work, struct slice text, struct slice bytes)
{
    struct reference reference = { 0 };
    struct slice value = { 0 };
    int r = next_reference(work, text, 0, &reference);
    if (r)
        return r == STATUS_EMPTY ? write_bytes(work, bytes) : r;
    if (reference.from == 0 && reference.to == text.size) {
        r = look_up(work, &reference, &value);
        return r ? r : write_bytes(work, value);
    }
    msgpack_sbuffer joined;
    msgpack_sbuffer_init(&joined);
    r = join(work, text, &reference, &joined);
    if (!r)
        r = write_text(work, slice_make(joined.data, joined.size));
    msgpack_sbuffer_destroy(&joined);
    return r;
}

/* The value that was written from this place on lies in the map of inputs. */
static int check_depth(const struct work *work, size_t from)
{
    const struct slice value = slice_make(work->to->data + from, work->to->size - from);
    const unsigned depth = 1 + codec_depth(value);
    return depth <= WIRE_VALUE_DEPTH_MAX ? 0
                                         : too_large(work, "levels", WIRE_VALUE_DEPTH_MAX, depth);
}

static int write_value(struct work *work, struct slice value)
{
    const size_t from = work->to->size;
    int r = write_bytes(work, value);
    return r ? r : check_depth(work, from);
}

static int resolve_value(struct work *work, struct slice value)
{
    struct value_parts parts = value_parts_of(value);
    struct value_part part;
    const size_t from = work->to->size;
    int r = 0;
    while (!r && value_parts_next(&parts, &part))
        r = part.text.size ? resolve_text(work, part.text, part.bytes)
                           : write_bytes(work, part.bytes);
    return r ? r : check_depth(work, from);
}

/* The newest that a completed stage wrote under this name; nil and "" are nothing written. */
static bool newest(const struct upstream *task, struct slice name, struct slice *ret_value)
{
    uint64_t best_ms = 0;
    bool found = false;
    for (size_t i = 0; i < task->stages_count; i++) {
        const struct upstream_stage *stage = &task->stages[i];
        struct slice value, text;
        if (stage->state != STATE_COMPLETED || (found && stage->ended_ms <= best_ms) ||
            !reference_find(name, stage->output, &value) || codec_is_nil(value) ||
            (codec_str(value, &text) && text.size == 0))
            continue;
        *ret_value = value;
        best_ms = stage->ended_ms;
        found = true;
    }
    return found;
}

/* What stands in for an input that is not given; empty: nothing. */
static struct slice stand_in(const struct upstream *task, struct slice outputs)
{
    struct slice rest = outputs, value = { 0 };
    while (rest.size && value.size == 0) {
        struct slice name = slice_until(rest, ',', &rest);
        const char *at = name.data;
        while (name.size && *at == ' ')
            name = slice_make(++at, name.size - 1);
        (void)newest(task, name, &value);
    }
    return value;
}

static struct slice stand_in_of(const struct upstream *task, struct slice name)
{
    for (size_t i = 0; i < task->inputs_count; i++)
        if (slice_equal(task->inputs[i].name, name))
            return stand_in(task, task->inputs[i].outputs);
    return (struct slice){ 0 };
}

/* Writes one that stands in the map. */
static int resolve_given(struct work *work, struct slice key, struct slice value)
{
    if (!codec_str(key, &work->name))
        return refusal_say(work->why, STATUS_INVALID, "input", "names of inputs are strings");
    const struct slice other =
        codec_is_nil(value) ? stand_in_of(work->task, work->name) : (struct slice){ 0 };
    int r = write_bytes(work, key);
    if (r)
        return r;
    return other.size ? write_value(work, other) : resolve_value(work, value);
}

static int resolve_map(struct work *work, struct slice input, uint32_t *count)
{
    struct reader reader;
    uint32_t pairs = 0;
    if (input.size && !codec_is_nil(input) && !codec_map(input, &reader, &pairs))
        return refusal_say(work->why, STATUS_INVALID, "input", "must be a map");
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice key, value;
        if (!reader_value(&reader, &key) || !reader_value(&reader, &value))
            return refusal_say(work->why, STATUS_INVALID, "input", "cut off");
        int r = resolve_given(work, key, value);
        if (r)
            return r;
    }
    *count = pairs;
    return 0;
}

static bool is_there(struct slice map, struct slice name)
{
    struct reader reader;
    struct slice key, value, text;
    uint32_t pairs = 0;
    (void)codec_map(map, &reader, &pairs);
    for (uint32_t i = 0; i < pairs; i++)
        if (reader_value(&reader, &key) && reader_value(&reader, &value) && codec_str(key, &text) &&
            slice_equal(text, name))
            return true;
    return false;
}

/* Writes those that do not stand in the map. */
static int add_missing(struct work *work, struct slice input, uint32_t *count)
{
    const struct upstream *task = work->task;
    for (size_t i = 0; i < task->inputs_count; i++) {
        const struct slice value = stand_in(task, task->inputs[i].outputs);
        work->name = task->inputs[i].name;
        if (value.size == 0 || is_there(input, work->name))
            continue;
        int r = write_text(work, work->name);
        if (!r)
            r = write_value(work, value);
        if (r)
            return r;
        ++*count;
    }
    return 0;
}

int upstream_resolve(const struct upstream *self, struct slice input, msgpack_sbuffer *to,
                     struct refusal *why)
{
    uint8_t head[] = { 0xdf, 0, 0, 0, 0 }; /* a map, whose count comes last */
    struct work work = { .task = self, .to = to, .begun = to->size, .why = why };
    uint32_t count = 0;
    msgpack_packer_init(&work.pk, to, msgpack_sbuffer_write);
    int r = write_bytes(&work, slice_make(head, sizeof head));
    if (!r)
        r = resolve_map(&work, input, &count);
    if (!r)
        r = add_missing(&work, input, &count);
    if (r)
        return r;
    for (size_t i = 0; i < sizeof count; i++)
        to->data[work.begun + 1 + i] = (char)(uint8_t)(count >> (24 - 8 * i));
    return 0;
}
