#pragma once
/* Refuses requests that two servers could read in two ways (request smuggling), and those that are
 * too much. Pure: the headers are handed to it one by one. */
#include "common/slice.h"

enum { GUARD_HEADERS_MAX = 100 };

struct guard {
    const char *wrong; /* NULL so far; else what is, in words */
    unsigned headers;
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
    bool chunked;
    uint64_t length; /* of the body, when lengths is 1 */
};

void guard_header(struct guard *self, struct slice name, struct slice value);
/* The headers as they came, where they can be had: from the end of the request line on, colons and
 * line ends being NULs. A line that ends without CR, one that goes on in the next, and a NUL are
 * told by that alone. Empty: nothing is looked at. */
void guard_block(struct guard *self, struct slice block);
/* All have come. version: "HTTP/1.1". wrong says. */
void guard_end(struct guard *self, const char *version);
