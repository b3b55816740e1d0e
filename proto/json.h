#pragma once
/* Between the JSON that people write and read and the msgpack of the wire. Pure: no file, no
 * socket. */
#include "common/slice.h"

#include <jansson.h>
#include <msgpack.h>

/* The value of packed bytes from anywhere; empty bytes are null. Binary and extensions become hex
 * text, whole numbers above 2^63-1 decimal text, NaN and infinities null; a key that is a number
 * becomes text. 0, STATUS_MALFORMED (no msgpack value, nested too deep, or keys of another kind),
 * or -ENOMEM. */
int json_from_packed(struct slice packed, json_t **ret_value);

/* Packs a value. 0, STATUS_TOO_LARGE when nested deeper than the wire allows, or -ENOMEM. */
int json_pack_value(const json_t *value, msgpack_packer *pk);

/* A key=value word into an object: the value is JSON when it reads as a number, true, false, null,
 * a list or a map, else text; always text when text_only. 0; STATUS_INVALID with a sentence in
 * error (no =, no key, key given twice); or -ENOMEM. */
enum { JSON_ERROR = 256 };
int json_put_pair(json_t *object, const char *pair, bool text_only, char error[JSON_ERROR]);

/* One line for a person: text as it is, everything else as compact JSON. The caller's to free;
 * NULL when out of memory. */
char *json_line(const json_t *value);
