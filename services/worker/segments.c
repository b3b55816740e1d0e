#include "services/worker/segments.h"

#include "common/scoped.h"
#include "common/utf8.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

enum { FOLDER_MAX = 100, PARTS_MAX = 100000 };

void segments_destroy(segments_t **self_p)
{
    segments_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i].error_text);
    free(self->items);
    free(self);
}

static bool add(segments_t *self, struct segment segment)
{
    if (self->count == self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        struct segment *items = realloc(self->items, room * sizeof *items);
        if (!items)
            return false;
        self->items = items;
        self->room = room;
    }
    self->items[self->count++] = segment;
    return true;
}

/* One stretch of time, as equal parts where it is too long. */
static bool add_stretch(segments_t *self, struct segment whole, const struct segment_rules *rules)
{
    double length_s = whole.end_s - whole.start_s;
    double parts = fmin(ceil(length_s / rules->max_s - 1e-9), PARTS_MAX);
    whole.parts = parts > 1 ? (uint32_t)parts : 1;
    for (uint32_t i = 0; i < whole.parts; i++) {
        struct segment part = whole;
        part.part = i + 1;
        part.start_s = whole.start_s + length_s * i / whole.parts;
        if (i + 1 < whole.parts) /* the last one ends where the whole does, to the last bit */
            part.end_s = whole.start_s + length_s * (i + 1) / whole.parts;
        if (!add(self, part))
            return false;
    }
    return true;
}

static bool add_entry(segments_t *self, const struct subtitle_entry *entry,
                      const struct segment_rules *rules)
{
    struct segment segment = {
        entry->start_s, entry->end_s, entry, 1, 1, SEGMENT_FAILED, NULL, NULL
    };
    if (entry->start_s < 0)
        segment.error = "starts before 0";
    else if (entry->end_s < entry->start_s)
        segment.error = "ends before it starts";
    else if (entry->start_s >= rules->audio_s)
        segment.error = "starts after the end of the sound";
    if (segment.error)
        return add(self, segment);

    segment.state = SEGMENT_WANTED;
    segment.end_s = fmin(segment.end_s, rules->audio_s);
    if (segment.end_s - segment.start_s < rules->min_s - 1e-9) {
        segment.state = SEGMENT_SKIPPED;
        segment.error = "shorter than min_segment_duration";
        return add(self, segment);
    }
    return add_stretch(self, segment, rules);
}

static bool add_silence(segments_t *self, double from_s, double to_s,
                        const struct segment_rules *rules)
{
    struct segment segment = { from_s, to_s, NULL, 1, 1, SEGMENT_WANTED, NULL, NULL };
    return to_s - from_s < fmax(rules->min_s, 1e-3) || add_stretch(self, segment, rules);
}

static int by_start(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    if (x->start_s != y->start_s)
        return x->start_s < y->start_s ? -1 : 1;
    if (x->entry != y->entry)
        return x->entry < y->entry ? -1 : 1; /* both point into one list */
    return x->part < y->part ? -1 : x->part > y->part;
}

/* Between what stands in the list, which is sorted. */
static bool add_silences(segments_t *self, const struct segment_rules *rules)
{
    double heard_s = 0;
    size_t count = self->count;
    for (size_t i = 0; i < count; i++) {
        double start_s = self->items[i].start_s, end_s = self->items[i].end_s;
        if (self->items[i].state == SEGMENT_FAILED)
            continue;
        if (!add_silence(self, heard_s, start_s, rules))
            return false;
        heard_s = fmax(heard_s, end_s);
    }
    return add_silence(self, heard_s, rules->audio_s, rules);
}

segments_t *segments_new(const subtitle_t *subtitle, const struct segment_rules *rules)
{
    scoped(segments) self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    for (size_t i = 0; i < subtitle->count; i++)
        if (!add_entry(self, &subtitle->entries[i], rules))
            return NULL;
    if (self->count > 0)
        qsort(self->items, self->count, sizeof *self->items, by_start);
    if (rules->silence && self->count > 0) {
        if (!add_silences(self, rules))
            return NULL;
        qsort(self->items, self->count, sizeof *self->items, by_start);
    }
    segments_t *made = self;
    self = NULL; /* the caller's now */
    return made;
}

size_t segments_count(const segments_t *self, enum segment_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->items[i].state == state;
    return count;
}

void segment_fail(struct segment *self, const char *why)
{
    free(self->error_text);
    self->error_text = strndup(why, utf8_cut(why, SEGMENT_ERROR_MAX));
    if (self->error_text)
        utf8_clean(self->error_text);
    self->error = self->error_text ? self->error_text : "out of memory";
    self->state = SEGMENT_FAILED;
}

void segment_folder(const struct segment *self, char *folder)
{
    const char *name = !self->entry ? "silence" : self->entry->speaker;
    (void)snprintf(folder, SEGMENT_FILE_MAX, "%.*s", (int)utf8_cut(name, FOLDER_MAX), name);
    for (char *at = folder; *at; at++)
        if (!isalnum((unsigned char)*at) && (unsigned char)*at < 0x80 && !strchr("-_.", *at))
            *at = '_';
    if (folder[0] == '.')
        folder[0] = '_';
    if (folder[0] == '\0')
        (void)snprintf(folder, SEGMENT_FILE_MAX, "unknown");
}
