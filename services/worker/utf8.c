#include "services/worker/utf8.h"

#include "common/utf8.h"

#include <string.h>

enum { CHARACTER_MAX = 4 };

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
