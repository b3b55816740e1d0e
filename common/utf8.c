#include "common/utf8.h"

size_t utf8_character(const uint8_t *s, size_t size)
{
    static const struct {
        uint8_t first, last, second_least, second_most, size;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        if (size < forms[i].size || s[1] < forms[i].second_least || s[1] > forms[i].second_most)
            return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].size;
    }
    return 0;
}

/* How many bytes of plain ASCII the text begins with, by eights: most texts are nothing else. */
static size_t plain_bytes(const uint8_t *s, size_t size)
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

bool utf8_is(struct slice text)
{
    const uint8_t *s = text.data;
    size_t at = plain_bytes(s, text.size);
    while (at < text.size) {
        size_t size = utf8_character(s + at, text.size - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}
