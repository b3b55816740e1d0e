#include "common/objects/name.h"

#include "common/objects/digest.h"
#include "common/status.h"
#include "common/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- what may be a name ---------------------------------------------------------------------- */

static bool in_bucket(char c, bool end)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!end && (c == '-' || c == '.'));
}

bool objects_bucket_valid(const char *bucket)
{
    const size_t size = strlen(bucket);
    if (size < 3 || size > OBJECTS_BUCKET_MAX || strstr(bucket, ".."))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!in_bucket(bucket[i], i == 0 || i == size - 1))
            return false;
    return true;
}

bool objects_key_valid(const char *key)
{
    const struct slice all = slice_of(key);
    struct slice rest = all;
    if (all.size == 0 || all.size > OBJECTS_KEY_MAX || !utf8_is(all) || strstr(key, "//"))
        return false;
    for (size_t i = 0; i < all.size; i++)
        if ((unsigned char)key[i] < ' ' || key[i] == 0x7f)
            return false;
    if (key[0] == '/')
        return false;
    while (rest.size > 0) {
        const struct slice segment = slice_until(rest, '/', &rest);
        if (slice_is(segment, ".") || slice_is(segment, ".."))
            return false;
    }
    return true;
}

/* ---- the endpoint ---------------------------------------------------------------------------- */

static bool host_valid(struct slice host)
{
    const char *text = host.data;
    for (size_t i = 0; i < host.size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-._[]:", text[i]))
            return false;
    return host.size > 0 && text[0] != ':';
}

/* Behind the last colon that is not within brackets; 0: there is none, -1: it is no port. */
static long port_of(const char *host, const char **ret_colon)
{
    const char *colon = strrchr(host, ':');
    const char *bracket = strrchr(host, ']');
    char *end;
    *ret_colon = NULL;
    if (!colon || (bracket && bracket > colon))
        return 0;
    *ret_colon = colon;
    const long port = isdigit((unsigned char)colon[1]) ? strtol(colon + 1, &end, 10) : -1;
    return port > 0 && port < 65536 && *end == '\0' ? port : -1;
}

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

bool endpoint_read(struct slice text, struct endpoint *ret_endpoint)
{
    struct endpoint self;
    const char *colon;
    if (text.size > 0 && ((const char *)text.data)[text.size - 1] == '/')
        text.size--;
    if (!slice_copy(text, self.text, sizeof self.text))
        return false;
    lower(self.text);
    const bool secure = strncmp(self.text, "https://", 8) == 0;
    if (!secure && strncmp(self.text, "http://", 7) != 0)
        return false;

    const size_t scheme = secure ? 8 : 7;
    const long port = port_of(self.text + scheme, &colon);
    if (!host_valid(slice_of(self.text + scheme)) || port < 0)
        return false;
    if (colon && port == (secure ? 443 : 80))
        self.text[colon - self.text] = '\0';
    *ret_endpoint = self;
    ret_endpoint->host = ret_endpoint->text + scheme;
    return true;
}

/* ---- percent-encoding ------------------------------------------------------------------------ */

static bool plain(unsigned char c, bool slash)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || (slash && c == '/');
}

size_t name_encode(struct slice plain_text, bool slash, char *ret_text, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *bytes = plain_text.data;
    size_t at = 0;
    for (size_t i = 0; i < plain_text.size; i++) {
        const char coded[] = { '%', digits[bytes[i] >> 4], digits[bytes[i] & 15] };
        const bool as_it_is = plain(bytes[i], slash);
        const size_t length = as_it_is ? 1 : sizeof coded;
        if (at + length < size)
            memcpy(ret_text + at, as_it_is ? (const char *)bytes + i : coded, length);
        at += length;
    }
    if (size > 0)
        ret_text[at < size ? at : 0] = '\0';
    return at;
}

bool name_decode(char *text, bool plus)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        unsigned char byte = (unsigned char)*from;
        if (byte == '%') {
            if (!digest_unhex(from + 1, &byte, 1) || byte == 0)
                return false;
            from += 2;
        } else if (byte == '+' && plus) {
            byte = ' ';
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return true;
}

void name_path(const char *bucket, const char *key, char ret_path[NAME_PATH_MAX])
{
    size_t size =
        (size_t)snprintf(ret_path, NAME_PATH_MAX, "/%s%s", bucket ? bucket : "", key ? "/" : "");
    if (key && size < NAME_PATH_MAX)
        (void)name_encode(slice_of(key), true, ret_path + size, NAME_PATH_MAX - size);
}
