#include "proto/input_type.h"

#include "proto/codec.h"

#include <math.h>

enum { PATH_BYTES_MAX = 4095 };

static bool any_value(struct slice value)
{
    return value.size > 0;
}

static bool is_text(struct slice value)
{
    return codec_is(value, KIND_STR);
}

static bool is_path(struct slice value)
{
    struct slice text;
    return codec_str(value, &text) && text.size > 0 && text.size <= PATH_BYTES_MAX &&
           !memchr(text.data, 0, text.size);
}

static bool is_whole(struct slice value)
{
    return codec_is(value, KIND_UINT) || codec_is(value, KIND_INT);
}

static bool is_number(struct slice value)
{
    double number;
    return codec_number(value, &number) && isfinite(number);
}

static bool is_switch(struct slice value)
{
    return codec_is(value, KIND_BOOL);
}

static bool is_list(struct slice value)
{
    return codec_is(value, KIND_ARRAY);
}

static bool is_map(struct slice value)
{
    return codec_is(value, KIND_MAP);
}

const struct input_type *input_type_find(struct slice name)
{
    static const struct input_type types[] = {
        { "text", "a string", is_text },
        { "path", "a path: a string of 1 to 4095 bytes without NUL", is_path },
        { "folder", "a path: a string of 1 to 4095 bytes without NUL", is_path },
        { "whole", "a whole number", is_whole },
        { "number", "a finite number", is_number },
        { "switch", "true or false", is_switch },
        { "list", "a list", is_list },
        { "map", "a map", is_map },
        { "any", "any value", any_value },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_is(name, types[i].name))
            return &types[i];
    return NULL;
}
