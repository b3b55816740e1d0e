#include "common/slice.h"

#include <stdlib.h>

uint64_t slice_hash_from(uint64_t start, struct slice s)
{
    const unsigned char *at = s.data;
    uint64_t hash = start;
    for (size_t i = 0; i < s.size; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

uint64_t slice_hash(struct slice s)
{
    return slice_hash_from(14695981039346656037u, s);
}

char *slice_dup(struct slice s)
{
    char *text = malloc(s.size + 1);
    if (!text)
        return NULL;
    if (s.size)
        memcpy(text, s.data, s.size);
    text[s.size] = '\0';
    return text;
}

bool slice_copy(struct slice s, char *text, size_t size)
{
    if (s.size >= size || (s.size && memchr(s.data, '\0', s.size))) {
        text[0] = '\0';
        return false;
    }
    if (s.size)
        memcpy(text, s.data, s.size);
    text[s.size] = '\0';
    return true;
}

struct slice slice_until(struct slice s, char mark, struct slice *ret_rest)
{
    const char *at = s.size ? memchr(s.data, mark, s.size) : NULL;
    const size_t size = at ? (size_t)(at - (const char *)s.data) : s.size;
    *ret_rest = at ? slice_make(at + 1, s.size - size - 1) : (struct slice){ 0 };
    return slice_make(s.data, size);
}
