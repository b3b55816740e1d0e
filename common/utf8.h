#pragma once
/* Well-formed UTF-8: RFC 3629, so no surrogates and nothing overlong. */
#include "common/slice.h"

/* Length of the character at s, of which size > 0 bytes are there; 0 when it is none. */
size_t utf8_character(const uint8_t *s, size_t size);
/* Is the whole text? */
bool utf8_is(struct slice text);
