#include "common/objects/locate.h"

#include "common/status.h"

#include <strings.h>

static bool begins(struct slice text, const char *with, struct slice *ret_rest)
{
    const size_t size = strlen(with);
    if (text.size < size || strncasecmp(text.data, with, size) != 0)
        return false;
    *ret_rest = slice_make((const char *)text.data + size, text.size - size);
    return true;
}

static int take(struct slice bucket, struct slice key, bool coded,
                char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1])
{
    char bucket_text[OBJECTS_BUCKET_MAX + 1];
    char key_text[3 * OBJECTS_KEY_MAX + 1];
    if (!slice_copy(bucket, bucket_text, sizeof bucket_text) ||
        !slice_copy(key, key_text, sizeof key_text) || (coded && !name_decode(key_text, false)))
        return STATUS_INVALID;
    if (!objects_bucket_valid(bucket_text) || !objects_key_valid(key_text))
        return STATUS_INVALID;
    (void)slice_copy(slice_of(bucket_text), ret_bucket, OBJECTS_BUCKET_MAX + 1);
    (void)slice_copy(slice_of(key_text), ret_key, OBJECTS_KEY_MAX + 1);
    return 0;
}

/* http[s]://host/bucket/key?query */
static int take_url(const struct endpoint *endpoint, struct slice url,
                    char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1])
{
    struct endpoint other;
    struct slice key;
    struct slice rest;
    struct slice bare = slice_until(url, '#', &rest);
    bare = slice_until(bare, '?', &rest);
    size_t host = strlen("https://");
    while (host < bare.size && ((const char *)bare.data)[host] != '/')
        host++;
    if (host > bare.size || !endpoint_read(slice_make(bare.data, host), &other))
        return STATUS_INVALID;
    if (strcmp(other.text, endpoint->text) != 0)
        return STATUS_UNSUPPORTED;
    if (host == bare.size)
        return STATUS_INVALID;

    rest = slice_make((const char *)bare.data + host + 1, bare.size - host - 1);
    const struct slice bucket = slice_until(rest, '/', &key);
    return take(bucket, key, true, ret_bucket, ret_key);
}

int locate(const struct endpoint *endpoint, const char *bucket, struct slice text,
           char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1])
{
    struct slice rest;
    struct slice key;
    if (begins(text, "minio://", &rest) || begins(text, "s3://", &rest)) {
        const struct slice named = slice_until(rest, '/', &key);
        return take(named, key, false, ret_bucket, ret_key);
    }
    if (begins(text, "http://", &rest) || begins(text, "https://", &rest))
        return take_url(endpoint, text, ret_bucket, ret_key);
    if (text.size > 0 && memmem(text.data, text.size, "://", 3))
        return STATUS_UNSUPPORTED;
    return take(slice_of(bucket), text, false, ret_bucket, ret_key);
}
