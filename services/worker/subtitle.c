#include "services/worker/subtitle.h"

#include "common/scoped.h"
#include "common/status.h"
#include "common/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef json_t json_value_t;

static void json_value_destroy(json_value_t **value_p)
{
    json_decref(*value_p);
}

void subtitle_destroy(subtitle_t **self_p)
{
    subtitle_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        free(self->entries[i].text);
        free(self->entries[i].speaker);
    }
    free(self->entries);
    free(self);
}

/* A new last entry. 0, STATUS_TOO_LARGE or -ENOMEM. */
static int add(subtitle_t *self, double start_s, double end_s, const char *text,
               const char *speaker)
{
    if (self->count == SUBTITLE_ENTRIES_MAX)
        return STATUS_TOO_LARGE;
    if ((self->count & (self->count - 1)) == 0) { /* room is the next power of two */
        size_t room = self->count ? self->count * 2 : 1;
        struct subtitle_entry *entries = realloc(self->entries, room * sizeof *entries);
        if (!entries)
            return -ENOMEM;
        self->entries = entries;
    }
    struct subtitle_entry entry = { start_s, end_s, strdup(text), strdup(speaker) };
    self->entries[self->count++] = entry;
    return entry.text && entry.speaker ? 0 : -ENOMEM;
}

/* ",345": 0.345, and where it ends; 0 when there is no comma or point. */
static const char *read_fraction(const char *at, double *ret_s)
{
    double unit = 0.1;
    *ret_s = 0;
    if (*at != ',' && *at != '.')
        return at;
    for (at++; isdigit((unsigned char)*at); at++) {
        *ret_s += unit * (*at - '0');
        unit /= 10;
    }
    return at;
}

/* "00:01:02,345", "01:02.345": seconds, and where it ends; NULL when it is none. */
static const char *read_time(const char *at, double *ret_s)
{
    double seconds = 0;
    int parts = 0;
    while (*at == ' ' || *at == '\t')
        at++;
    for (;; at++) {
        if (!isdigit((unsigned char)*at))
            return NULL;
        double number = 0;
        while (isdigit((unsigned char)*at))
            number = number * 10 + (*at++ - '0');
        seconds = seconds * 60 + number;
        if (++parts > 3 || *at != ':')
            break;
    }
    double fraction;
    at = read_fraction(at, &fraction);
    *ret_s = round((seconds + fraction) * 1e6) / 1e6;
    return parts >= 2 && parts <= 3 ? at : NULL;
}

static bool read_times(const char *line, double *ret_start_s, double *ret_end_s)
{
    const char *at = read_time(line, ret_start_s);
    if (!at)
        return false;
    at += strspn(at, " \t");
    if (strncmp(at, "-->", 3) != 0)
        return false;
    return read_time(at + 3, ret_end_s) != NULL;
}

static bool is_number(const char *line)
{
    return line[0] && line[strspn(line, "0123456789 \t")] == '\0';
}

/* What a cue gathers until the next one starts. */
struct cue {
    bool open;
    double start_s, end_s;
    char *text;               /* room for the whole file */
    size_t size, before_line; /* text's, and before its last line */
};

/* Takes "[SPEAKER_00] " off the text's start. */
static const char *take_speaker(char *text, char *speaker, size_t speaker_size)
{
    speaker[0] = '\0';
    const char *close = strchr(text, ']');
    size_t size = close ? (size_t)(close - text) - 1 : 0;
    if (text[0] != '[' || strncasecmp(text + 1, "speaker", 7) != 0 || !close ||
        size >= speaker_size)
        return text;
    memcpy(speaker, text + 1, size);
    speaker[size] = '\0';
    return close + 1 + strspn(close + 1, " :\t");
}

static int close_cue(subtitle_t *self, struct cue *cue)
{
    if (!cue->open)
        return 0;
    char speaker[128];
    cue->open = false;
    cue->text[cue->size] = '\0';
    const char *text = take_speaker(cue->text, speaker, sizeof speaker);
    return add(self, cue->start_s, cue->end_s, text, speaker);
}

static void add_line(struct cue *cue, const char *line)
{
    size_t size = strlen(line);
    cue->before_line = cue->size;
    if (cue->size > 0)
        cue->text[cue->size++] = ' ';
    memcpy(cue->text + cue->size, line, size);
    cue->size += size;
    cue->text[cue->size] = '\0';
}

static int take_line(subtitle_t *self, struct cue *cue, const char *line)
{
    double start_s, end_s;
    if (read_times(line, &start_s, &end_s)) {
        /* no blank line before this cue: its number was taken for text */
        if (cue->open && is_number(cue->text + cue->before_line + (cue->before_line > 0)))
            cue->size = cue->before_line;
        int r = close_cue(self, cue);
        *cue = (struct cue){ true, start_s, end_s, cue->text, 0, 0 };
        cue->text[0] = '\0';
        return r;
    }
    if (line[strspn(line, " \t")] == '\0')
        return close_cue(self, cue);
    if (cue->open)
        add_line(cue, line);
    return 0;
}

static int parse_cues(subtitle_t *self, char *text)
{
    scoped_text char *room = malloc(2 * strlen(text) + 2);
    if (!room)
        return -ENOMEM;
    struct cue cue = { .text = room };
    int r = 0;
    for (char *line = text; r == 0 && line;) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        r = take_line(self, &cue, line);
        line = next;
    }
    return r == 0 ? close_cue(self, &cue) : r;
}

static int add_segment(subtitle_t *self, const json_t *segment, char error[SUBTITLE_ERROR])
{
    const json_t *start = json_object_get(segment, "start");
    const json_t *end = json_object_get(segment, "end");
    const char *text = json_string_value(json_object_get(segment, "text"));
    const char *speaker = json_string_value(json_object_get(segment, "speaker"));
    if (!json_is_number(start) || !json_is_number(end)) {
        (void)snprintf(error, SUBTITLE_ERROR, "segment %zu has no numbers start and end",
                       self->count);
        return STATUS_INVALID;
    }
    return add(self, json_number_value(start), json_number_value(end), text ? text : "",
               speaker ? speaker : "");
}

static int parse_json(subtitle_t *self, const char *text, char error[SUBTITLE_ERROR])
{
    json_error_t why;
    scoped(json_value) json = json_loads(text, 0, &why);
    if (!json) {
        (void)snprintf(error, SUBTITLE_ERROR, "line %d: %s", why.line, why.text);
        return STATUS_INVALID;
    }
    const json_t *list = json_is_object(json) ? json_object_get(json, "segments") : json;
    if (!json_is_array(list)) {
        (void)snprintf(error, SUBTITLE_ERROR, "JSON without a list of segments");
        return STATUS_INVALID;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
        r = add_segment(self, json_array_get(list, i), error);
    return r;
}

/* The text without mark of byte order, NUL and malformed bytes, lines ending in LF. */
static char *clean_copy(struct slice bytes)
{
    const char *from = bytes.data;
    size_t size = bytes.size;
    if (size >= 3 && memcmp(from, "\xEF\xBB\xBF", 3) == 0) {
        from += 3;
        size -= 3;
    }
    char *text = malloc(size + 1);
    if (!text)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        bool pair = from[i] == '\r' && i + 1 < size && from[i + 1] == '\n';
        if (!pair)
            text[n++] = (char)(from[i] == '\0' ? '?' : from[i] == '\r' ? '\n' : from[i]);
    }
    text[n] = '\0';
    utf8_clean(text);
    return text;
}

int subtitle_parse(struct slice bytes, subtitle_t **ret_subtitle, char error[SUBTITLE_ERROR])
{
    error[0] = '\0';
    scoped_text char *text = clean_copy(bytes);
    scoped(subtitle) self = calloc(1, sizeof *self);
    if (!text || !self)
        return -ENOMEM;

    const char *first = text + strspn(text, " \t\n");
    bool empty = *first == '\0' || strcmp(first, "WEBVTT\n") == 0;
    bool json = *first == '{' || *first == '[';
    int r = json ? parse_json(self, first, error) : parse_cues(self, text);
    if (r == 0 && !json && !empty && self->count == 0) {
        (void)snprintf(error, SUBTITLE_ERROR, "neither SRT nor JSON of segments");
        r = STATUS_INVALID;
    }
    if (r == 0) {
        *ret_subtitle = self;
        self = NULL; /* the caller's now */
    }
    return r;
}
