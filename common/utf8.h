#pragma once
/* Well-formed UTF-8: RFC 3629, so no surrogates and nothing overlong. */
#include "common/slice.h"

/* As utf8_character, of one that is no ASCII. */
size_t utf8_longer(const uint8_t *s, size_t size);

/* Length of the character at s, of which size > 0 bytes are there; 0 when it is none. */
static inline size_t utf8_character(const uint8_t *s, size_t size)
{
    return s[0] < 0x80 ? 1 : utf8_longer(s, size);
}

/* How many bytes of plain ASCII the text begins with, by eights: most texts are nothing else. */
static inline size_t utf8_plain_bytes(const uint8_t *s, size_t size)
{
    size_t at = 0;
    uint64_t eight;
    for (; at + sizeof eight <= size; at += sizeof eight) {
        memcpy(&eight, s + at, sizeof eight);
        if (eight & 0x8080808080808080)
            break;
    }
    return at;
}

/* Is the whole text? Inline: every text that comes in is asked. */
static inline bool utf8_is(struct slice text)
{
    const uint8_t *s = text.data;
    size_t at = utf8_plain_bytes(s, text.size);
    while (at < text.size) {
        size_t size = utf8_character(s + at, text.size - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

/* Texts of other programs and of users, made fit for the wire and for JSON: every byte that is no
 * part of well-formed UTF-8 becomes '?'; of the control characters only tab and line feed stay. */
void utf8_clean(char *text);

/* Length of text without what was cut off in the middle of a character: at most size_max bytes. */
size_t utf8_cut(const char *text, size_t size_max);
