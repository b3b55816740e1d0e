#include "services/worker/messages.h"

#include "common/status.h"
#include "proto/codec.h"
#include "proto/schema.h"

#include <errno.h>
#include <stdlib.h>

enum { ROOM_LEAST = 4096, WRAP = 0x91 /* an array of one */ };

#define AFTER_MOST_MS INT64_C(315360000000) /* ten years */

static void forget_checkpoint(struct messages *self)
{
    union {
        const void *kept;
        void *ours; /* a copy of our own, though slices are of what is borrowed */
    } bytes = { .kept = self->checkpoint.data };
    free(bytes.ours);
    self->checkpoint = (struct slice){ 0 };
}

void messages_clear(struct messages *self)
{
    forget_checkpoint(self);
    free(self->bytes);
    *self = (struct messages){ 0 };
}

/* Bytes lie behind MESSAGES_DEPTH_SPARE bytes of room, see checked(). */
static int append(struct messages *self, struct slice bytes)
{
    size_t wanted = MESSAGES_DEPTH_SPARE + self->size + bytes.size;
    if (wanted > self->room) {
        size_t room = self->room ? self->room : ROOM_LEAST;
        while (room < wanted)
            room *= 2;
        char *more = realloc(self->bytes, room);
        if (!more)
            return -ENOMEM;
        self->bytes = more;
        self->room = room;
    }
    memcpy(self->bytes + MESSAGES_DEPTH_SPARE + self->size, bytes.data, bytes.size);
    self->size += bytes.size;
    return 0;
}

/* An output travels on within a result within an array, and comes back within a stage within a
 * record. So it is checked as deep down as it will lie there, or one task could make its record
 * unreadable for everybody. */
static bool checked(struct messages *self, struct slice first)
{
    memset(self->bytes, WRAP, MESSAGES_DEPTH_SPARE);
    return codec_check(slice_make(self->bytes, MESSAGES_DEPTH_SPARE + first.size)) == 0;
}

static void text_of(struct slice map, const char *key, struct slice *ret_text)
{
    struct slice value;
    if (codec_find(map, key, &value))
        (void)codec_str(value, ret_text);
}

static bool take_progress(struct messages *self, struct slice value)
{
    double progress = 0;
    if (!codec_number(value, &progress))
        return false;
    self->progress = progress > 1 ? 1 : progress > 0 ? progress : 0; /* NaN is 0 */
    return true;
}

static bool take_error(struct messages *self, struct slice value)
{
    if (!codec_is(value, KIND_MAP))
        return false;
    self->result = MESSAGES_ERROR;
    text_of(value, "code", &self->code);
    text_of(value, "message", &self->message);
    text_of(value, "field", &self->field);
    return true;
}

static bool take_output(struct messages *self, struct slice map, struct slice value)
{
    if (!codec_is(value, KIND_MAP))
        return false;
    self->result = MESSAGES_OUTPUT;
    self->output = value;
    return !codec_find(map, "files", &self->files) || codec_is(self->files, KIND_ARRAY);
}

static bool take_skipped(struct messages *self, struct slice value)
{
    self->result = MESSAGES_SKIPPED;
    self->output = value;
    return codec_is(value, KIND_MAP);
}

/* *ret_ms stays when it is not said. */
static bool take_after(struct slice map, int64_t *ret_ms)
{
    struct slice value;
    uint64_t ms = 0;
    if (!codec_find(map, "after_ms", &value) || codec_is_nil(value))
        return true;
    if (!codec_whole(value, &ms))
        return false;
    *ret_ms = ms < AFTER_MOST_MS ? (int64_t)ms : AFTER_MOST_MS;
    return true;
}

static bool take_retry(struct messages *self, struct slice value)
{
    self->result = MESSAGES_RETRY;
    self->after_ms = -1;
    text_of(value, "message", &self->message);
    return codec_is(value, KIND_MAP) && take_after(value, &self->after_ms);
}

static bool take_snooze(struct messages *self, struct slice value)
{
    self->result = MESSAGES_SNOOZE;
    self->after_ms = -1;
    return codec_is(value, KIND_MAP) && take_after(value, &self->after_ms) && self->after_ms >= 0;
}

/* A copy: the message itself is passed over when the next one is read. */
static int take_checkpoint(struct messages *self, struct slice value)
{
    if (value.size > CHECKPOINT_MAX)
        return STATUS_TOO_LARGE;
    if (codec_depth(value) > WIRE_VALUE_DEPTH_MAX)
        return STATUS_MALFORMED;
    void *copy = malloc(value.size);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, value.data, value.size);
    forget_checkpoint(self);
    self->checkpoint = slice_make(copy, value.size);
    return 0;
}

/* 0 or a status or -ENOMEM. */
static int take(struct messages *self, struct slice map)
{
    struct slice value;
    bool good = false;
    if (codec_find(map, "checkpoint", &value))
        return take_checkpoint(self, value);
    if (codec_find(map, "progress", &value))
        good = take_progress(self, value);
    else if (codec_find(map, "output", &value))
        good = take_output(self, map, value);
    else if (codec_find(map, "error", &value))
        good = take_error(self, value);
    else if (codec_find(map, "retry", &value))
        good = take_retry(self, value);
    else if (codec_find(map, "snooze", &value))
        good = take_snooze(self, value);
    else if (codec_find(map, "skipped", &value))
        good = take_skipped(self, value);
    return good ? 0 : STATUS_MALFORMED;
}

int messages_read(struct messages *self, struct slice bytes)
{
    if (self->result != MESSAGES_NONE || bytes.size == 0)
        return 0;
    int r = append(self, bytes);
    while (r == 0 && self->size > 0 && self->result == MESSAGES_NONE) {
        struct reader reader = { (uint8_t *)self->bytes + MESSAGES_DEPTH_SPARE, NULL };
        reader.end = reader.at + self->size;
        struct slice first;
        bool whole = reader_value(&reader, &first);
        if ((whole ? first.size : self->size) > MESSAGES_OUTPUT_MAX)
            return STATUS_TOO_LARGE;
        if (!whole)
            return 0;
        r = checked(self, first) ? take(self, first) : STATUS_MALFORMED;
        if (r == 0 && self->result == MESSAGES_NONE) {
            self->size -= first.size;
            memmove(self->bytes + MESSAGES_DEPTH_SPARE, reader.at, self->size);
        }
    }
    return r;
}

int messages_end(const struct messages *self)
{
    return self->result == MESSAGES_NONE && self->size > 0 ? STATUS_MALFORMED : 0;
}
