#include "services/front/range.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* At most 18 digits, so that it is a number to everybody. */
static bool take_number(const char **at, struct slice *ret_digits)
{
    const size_t size = strspn(*at, "0123456789");
    *ret_digits = slice_make(*at, size);
    *at += size;
    return size <= 18;
}

/* Of two numbers without leading zeros of their own: is a the greater? */
static bool greater(struct slice a, struct slice b)
{
    const char *x = a.data, *y = b.data;
    for (; a.size > 1 && *x == '0'; a.size--)
        x++;
    for (; b.size > 1 && *y == '0'; b.size--)
        y++;
    return a.size != b.size ? a.size > b.size : memcmp(x, y, a.size) > 0;
}

bool range_read(const char *header, char ret_text[RANGE_TEXT])
{
    struct slice first, last;
    if (strncasecmp(header, "bytes=", 6) != 0)
        return false;
    const char *at = header + 6;
    if (!take_number(&at, &first) || *at != '-')
        return false;
    at++;
    if (!take_number(&at, &last) || *at)
        return false;
    if (!first.size && !last.size)
        return false;
    if (first.size && last.size && greater(first, last))
        return false;
    (void)snprintf(ret_text, RANGE_TEXT, "bytes=%.*s-%.*s", SLICE_ARG(first), SLICE_ARG(last));
    return true;
}

bool range_etag_listed(const char *header, const char *etag)
{
    const size_t size = strlen(etag);
    const char *at = header + strspn(header, ", \t");
    if (*at == '*')
        return true;
    while (*at) {
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (*at != '"')
            return false;
        const char *end = strchr(at + 1, '"');
        if (!end)
            return false;
        if ((size_t)(end - at - 1) == size && memcmp(at + 1, etag, size) == 0)
            return true;
        at = end + 1;
        at += strspn(at, ", \t");
    }
    return false;
}

void range_disposition(const char *path, char ret_text[RANGE_NAME])
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    static const char hex[] = "0123456789ABCDEF";
    char plain[256], encoded[3 * 1024 + 1];
    size_t plain_size = 0, encoded_size = 0;
    for (const char *c = name; *c && encoded_size + 4 <= sizeof encoded; c++) {
        const unsigned char byte = (unsigned char)*c;
        const bool simple = byte < 0x7f && (isalnum(byte) || strchr("!#$&+-.^_`|~", byte));
        const bool safe = simple || strchr(" ()[]{}@,;=", byte);
        if (plain_size + 1 < sizeof plain && (byte & 0xc0) != 0x80)
            plain[plain_size++] = (char)(safe ? *c : '_');
        if (simple)
            encoded[encoded_size++] = *c;
        else
            encoded_size += (size_t)snprintf(encoded + encoded_size, 4, "%%%c%c", hex[byte >> 4],
                                             hex[byte & 15]);
    }
    plain[plain_size] = encoded[encoded_size] = '\0';
    (void)snprintf(ret_text, RANGE_NAME, "attachment; filename=\"%s\"; filename*=UTF-8''%s", plain,
                   encoded);
}
