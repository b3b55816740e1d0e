/* What an engine was given, read by name. */
#include "services/worker/engine_self.h"

#include "proto/codec.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

char *engine_text_new(engine_t *self, size_t size)
{
    struct text *text = malloc(sizeof *text + size);
    if (!text)
        return NULL;
    text->next = self->texts;
    self->texts = text;
    return text->bytes;
}

static bool find_member(const engine_t *self, const char *key, struct slice *ret_value)
{
    const char *dot = strchr(key, '.');
    char name[FIELD_MAX];
    struct slice map;
    return dot && slice_copy(slice_make(key, (size_t)(dot - key)), name, sizeof name) &&
           codec_find(self->input, name, &map) && codec_find(map, dot + 1, ret_value);
}

static bool find(const engine_t *self, const char *key, struct slice *ret_value)
{
    return (codec_find(self->input, key, ret_value) || find_member(self, key, ret_value)) &&
           !codec_is_nil(*ret_value);
}

bool engine_given(const engine_t *self, const char *key)
{
    struct slice value;
    return find(self, key, &value);
}

static int missing(engine_t *self, const char *key)
{
    return engine_refuse(self, STATUS_INVALID, key, "%s is missing", key);
}

int engine_text(engine_t *self, const char *key, const char **ret_text)
{
    struct slice value, text;
    if (!find(self, key, &value))
        return missing(self, key);
    if (!codec_str(value, &text) || text.size == 0)
        return engine_refuse(self, STATUS_INVALID, key, "%s must be a text that is not empty", key);

    char *bytes = engine_text_new(self, text.size + 1);
    if (!bytes)
        return -ENOMEM;
    if (!slice_copy(text, bytes, text.size + 1))
        return engine_refuse(self, STATUS_INVALID, key, "%s must not hold a NUL", key);
    *ret_text = bytes;
    return 0;
}

int engine_whole(engine_t *self, const char *key, uint64_t least, uint64_t most,
                 uint64_t *ret_whole)
{
    struct slice value;
    uint64_t whole = 0;
    if (!find(self, key, &value))
        return missing(self, key);
    if (!codec_whole(value, &whole) || whole < least || whole > most)
        return engine_refuse(self, STATUS_INVALID, key,
                             "%s must be a whole number from %llu to %llu", key,
                             (unsigned long long)least, (unsigned long long)most);
    *ret_whole = whole;
    return 0;
}

int engine_number(engine_t *self, const char *key, double least, double most, double *ret_number)
{
    struct slice value;
    double number = 0;
    if (!find(self, key, &value))
        return missing(self, key);
    if (!codec_number(value, &number) || !(number >= least && number <= most))
        return engine_refuse(self, STATUS_INVALID, key, "%s must be a number from %g to %g", key,
                             least, most);
    *ret_number = number;
    return 0;
}

int engine_switch(engine_t *self, const char *key, bool *ret_on)
{
    struct slice value;
    bool on = false;
    if (find(self, key, &value) && !codec_bool(value, &on))
        return engine_refuse(self, STATUS_INVALID, key, "%s must be true or false", key);
    *ret_on = on;
    return 0;
}

int engine_numbers(engine_t *self, const char *key, size_t count, double *ret_numbers)
{
    struct slice value, item;
    struct reader reader;
    uint32_t items = 0;
    if (!find(self, key, &value))
        return missing(self, key);
    bool good = codec_array(value, &reader, &items) && items == count;
    for (size_t i = 0; good && i < count; i++)
        good = reader_value(&reader, &item) && codec_number(item, &ret_numbers[i]) &&
               isfinite(ret_numbers[i]);
    return good ? 0
                : engine_refuse(self, STATUS_INVALID, key, "%s must be a list of %zu numbers", key,
                                count);
}

static bool is_one_of(struct slice name, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (slice_is(name, names[i]))
            return true;
    return false;
}

int engine_members(engine_t *self, const char *key, const char *const *names)
{
    struct slice map, name, value;
    struct reader reader;
    uint32_t pairs = 0;
    if (!find(self, key, &map))
        return 0;
    if (!codec_map(map, &reader, &pairs))
        return engine_refuse(self, STATUS_INVALID, key, "%s must be a map", key);
    for (uint32_t i = 0; i < pairs; i++) {
        if (!reader_value(&reader, &value) || !codec_str(value, &name) ||
            !reader_value(&reader, &value))
            return engine_refuse(self, STATUS_INVALID, key, "the names in %s must be texts", key);
        if (is_one_of(name, names))
            continue;
        char field[FIELD_MAX];
        (void)snprintf(field, sizeof field, "%s.%.*s", key, SLICE_ARG(name));
        return engine_refuse(self, STATUS_INVALID, field, "%s has no member %.*s", key,
                             (int)(name.size < FIELD_MAX ? name.size : FIELD_MAX),
                             (const char *)name.data);
    }
    return 0;
}
