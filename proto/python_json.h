#pragma once
/* JSON text exactly as Python's json.dumps(value) lays it out with its defaults, for receivers that
 * compare bytes: ", " and ": ", all but ASCII as \uXXXX, floats as repr() writes them, keys in the
 * order they were put in. Pure. */
#include <jansson.h>

/* More levels than any value of the wire and what is built around it. */
enum { PYTHON_JSON_DEPTH = 32 };

/* The text is the caller's to free and ends in a NUL that *ret_size (may be NULL) leaves out; value
 * is only read. 0, STATUS_TOO_LARGE when nested deeper than PYTHON_JSON_DEPTH, or -ENOMEM. */
int python_json(json_t *value, char **ret_text, size_t *ret_size);

/* A finite number as repr() of a float writes it: the shortest digits that read as it again. */
enum { PYTHON_FLOAT = 32 };
const char *python_float(double number, char text[PYTHON_FLOAT]);
