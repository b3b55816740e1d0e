#include "services/worker/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character that starts here; 0 when none does. A NUL ends every attempt. */
static size_t character(const unsigned char *at)
{
    if (at[0] < 0x80)
        return 1;
    size_t size = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;

    uint32_t point = at[0] & (0xFFU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3F);
    }
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point >= least[size] && point <= 0x10FFFF && !surrogate ? size : 0;
}

void utf8_clean(char *text)
{
    unsigned char *at = (unsigned char *)text;
    while (*at) {
        size_t size = character(at);
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
