#include "services/worker/messages.h"

#include "common/status.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdlib.h>

enum { ROOM_LEAST = 4096, WRAP = 0x91 /* an array of one */ };

void messages_clear(struct messages *self)
{
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

static bool take(struct messages *self, struct slice map)
{
    struct slice value;
    if (codec_find(map, "progress", &value))
        return take_progress(self, value);
    if (codec_find(map, "output", &value))
        return take_output(self, map, value);
    if (codec_find(map, "error", &value))
        return take_error(self, value);
    if (!codec_find(map, "skipped", &value) || !codec_is(value, KIND_MAP))
        return false;
    self->result = MESSAGES_SKIPPED;
    self->output = value;
    return true;
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
        if (!checked(self, first) || !take(self, first))
            return STATUS_MALFORMED;
        if (self->result == MESSAGES_NONE) {
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
