#include "proto/python_json.h"

#include "common/slice.h"
#include "common/status.h"
#include "common/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- numbers --------------------------------------------------------------------------------- */

/* As long as the digits of 10^16 and the zeros of 0.0001 fit, repr() writes no exponent. */
enum { EXPONENT_LEAST = -4, EXPONENT_END = 16, DIGITS_MAX = 17 };

/* One more at the last place. False when only nines stand there. */
static bool round_up(char *text)
{
    for (char *at = text + strcspn(text, "e"); at-- > text;) {
        if (*at >= '0' && *at < '9') {
            ++*at;
            return true;
        }
        if (*at == '9')
            *at = '0';
    }
    return false;
}

static bool reads_as(const char *text, double number)
{
    return strtod(text, NULL) == number;
}

/* The fewest digits that read as the number again, as "d.ddde+xx". Below a power of two the next
 * number is only half as far as above it: there the closest digits may be another number's, and
 * those above not. */
static void shortest(double number, char text[PYTHON_FLOAT])
{
    for (int behind = 0; behind < DIGITS_MAX; behind++) {
        (void)snprintf(text, PYTHON_FLOAT, "%.*e", behind, number);
        if (reads_as(text, number) || (round_up(text) && reads_as(text, number)))
            return;
    }
}

const char *python_float(double number, char text[PYTHON_FLOAT])
{
    shortest(number, text);
    const char *mark = strchr(text, 'e');
    const long exponent = mark ? strtol(mark + 1, NULL, 10) : 0;
    if (exponent < EXPONENT_LEAST || exponent >= EXPONENT_END)
        return text;
    const size_t digits = strcspn(text, "e") - (size_t)(text[0] == '-');
    const long behind = digits > 2 ? (long)digits - 2 - exponent : -exponent;
    /* Powers of two of this range are exact in as many digits: nothing was rounded up. */
    (void)snprintf(text, PYTHON_FLOAT, "%.*f", behind > 1 ? (int)behind : 1, number);
    return text;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void write_bytes(FILE *out, const void *bytes, size_t size)
{
    (void)fwrite_unlocked(bytes, 1, size, out);
}

static void write_text(FILE *out, const char *text)
{
    write_bytes(out, text, strlen(text));
}

/* Size is the character's, as utf8_character() said. */
static uint32_t code_of(const uint8_t *s, size_t size)
{
    uint32_t code = size == 1 ? s[0] : s[0] & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++)
        code = code << 6 | (s[i] & 0x3fU);
    return code;
}

static void write_code(FILE *out, uint32_t code)
{
    char text[16];
    if (code >= 0x10000) {
        code -= 0x10000;
        (void)snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + (code >> 10),
                       0xdc00 + (code & 0x3ff));
    } else
        (void)snprintf(text, sizeof text, "\\u%04x", code);
    write_text(out, text);
}

/* What stands behind the backslash; 0: it has no letter of its own. */
static uint8_t short_escape(uint8_t byte)
{
    static const uint8_t letters[256] = { ['"'] = '"',  ['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r',
                                          ['\t'] = 't', ['\b'] = 'b',  ['\f'] = 'f' };
    return letters[byte];
}

static bool is_plain(uint8_t byte)
{
    return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
}

static size_t write_escaped(FILE *out, const uint8_t *s, size_t size)
{
    const uint8_t escape[2] = { '\\', short_escape(s[0]) };
    if (escape[1]) {
        write_bytes(out, escape, sizeof escape);
        return 1;
    }
    const size_t length = utf8_character(s, size);
    write_code(out, length ? code_of(s, length) : 0xfffd);
    return length ? length : 1;
}

static void write_string(FILE *out, const char *text, size_t size)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t at = 0;
    write_text(out, "\"");
    while (at < size) {
        size_t plain = at;
        while (plain < size && is_plain(s[plain]))
            plain++;
        write_bytes(out, s + at, plain - at);
        at = plain;
        if (at < size)
            at += write_escaped(out, s + at, size - at);
    }
    write_text(out, "\"");
}

/* ---- values ---------------------------------------------------------------------------------- */

struct place {
    json_t *container;
    size_t index; /* of the value that comes next */
    void *iter;   /* of a map: where that stands */
};

static bool is_container(const json_t *value)
{
    return json_is_array(value) || json_is_object(value);
}

static void write_scalar(FILE *out, const json_t *value)
{
    char number[PYTHON_FLOAT];
    switch (json_typeof(value)) {
    case JSON_STRING:
        write_string(out, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER:
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        write_text(out, number);
        return;
    case JSON_REAL:
        write_text(out, python_float(json_real_value(value), number));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        write_text(out, json_is_true(value) ? "true" : "false");
        return;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        write_text(out, "null");
        return;
    }
}

/* The next value of a place, with what stands before it written; NULL at the end. */
static json_t *next_of(struct place *place, FILE *out)
{
    const bool first = place->index == 0;
    json_t *value = json_is_array(place->container) ? json_array_get(place->container, place->index)
                                                    : json_object_iter_value(place->iter);
    place->index++;
    if (value && !first)
        write_text(out, ", ");
    if (!value || json_is_array(place->container))
        return value;
    write_string(out, json_object_iter_key(place->iter), json_object_iter_key_len(place->iter));
    write_text(out, ": ");
    place->iter = json_object_iter_next(place->container, place->iter);
    return value;
}

static struct place enter(json_t *container, FILE *out)
{
    const bool is_array = json_is_array(container);
    write_text(out, is_array ? "[" : "{");
    return (struct place){ .container = container,
                           .iter = is_array ? NULL : json_object_iter(container) };
}

static int write_value(json_t *value, FILE *out)
{
    struct place places[PYTHON_JSON_DEPTH];
    size_t depth = 0;
    if (is_container(value))
        places[depth++] = enter(value, out);
    else
        write_scalar(out, value);

    while (depth) {
        json_t *next = next_of(&places[depth - 1], out);
        if (!next) {
            depth--;
            write_text(out, json_is_array(places[depth].container) ? "]" : "}");
        } else if (!is_container(next))
            write_scalar(out, next);
        else if (depth == PYTHON_JSON_DEPTH)
            return STATUS_TOO_LARGE;
        else
            places[depth++] = enter(next, out);
    }
    return 0;
}

int python_json(json_t *value, char **ret_text, size_t *ret_size)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return -ENOMEM;
    int r = write_value(value, out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) || (failed && r == 0))
        r = -ENOMEM;
    if (r) {
        free(text);
        return r;
    }
    *ret_text = text;
    if (ret_size)
        *ret_size = size;
    return 0;
}
