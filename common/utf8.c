#include "common/utf8.h"

#include <string.h>

enum { CHARACTER_MAX = 4 };

size_t utf8_longer(const uint8_t *s, size_t size)
{
    static const struct {
        uint8_t first, last, second_least, second_most, size;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
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

void utf8_clean(char *text)
{
    uint8_t *at = (uint8_t *)text;
    while (*at) {
        size_t size = utf8_character(at, CHARACTER_MAX); /* a NUL is no part of any */
        bool control = *at < 0x20 && *at != '\t' && *at != '\n';
        if (size == 0 || control || *at == 0x7F)
            *at = '?';
        at += size > 0 ? size : 1;
    }
}

size_t utf8_cut(const char *text, size_t size_max)
{
    size_t size = strlen(text);
    if (size <= size_max)
        return size;
    size = size_max;
    while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
        size--;
    return size;
}
