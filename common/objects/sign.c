#include "common/objects/sign.h"

#include "common/objects/digest.h"
#include "common/scoped.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <time.h>

static int by_name(const void *one, const void *other)
{
    const struct sign_field *a = one;
    const struct sign_field *b = other;
    const int names = strcmp(a->name, b->name);
    return names ? names : strcmp(a->value, b->value);
}

static size_t sorted(const struct sign_field *fields, size_t count, struct sign_field *ret_fields)
{
    assert(count <= SIGN_FIELDS_MAX);
    if (count > 0)
        memcpy(ret_fields, fields, count * sizeof *fields);
    qsort(ret_fields, count, sizeof *ret_fields, by_name);
    return count;
}

static int add(digest_t *digest, const char *text)
{
    return digest_add(digest, slice_of(text));
}

/* Without blanks at its ends; several within count as one. */
static int add_value(digest_t *digest, const char *text)
{
    int r = 0;
    text += strspn(text, " \t");
    while (r == 0 && *text) {
        const size_t word = strcspn(text, " \t");
        const size_t gap = strspn(text + word, " \t");
        r = digest_add(digest, slice_make(text, word));
        text += word + gap;
        if (r == 0 && *text)
            r = add(digest, " ");
    }
    return r;
}

static int add_query(digest_t *digest, const struct sign_request *request)
{
    struct sign_field fields[SIGN_FIELDS_MAX];
    const size_t count = sorted(request->query, request->query_count, fields);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = add(digest, i ? "&" : "");
        r = r ? r : add(digest, fields[i].name);
        r = r ? r : add(digest, "=");
        r = r ? r : add(digest, fields[i].value);
    }
    return r ? r : add(digest, "\n");
}

static int add_headers(digest_t *digest, const struct sign_request *request)
{
    struct sign_field fields[SIGN_FIELDS_MAX];
    char names[SIGN_HEADERS];
    const size_t count = sorted(request->headers, request->header_count, fields);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = add(digest, fields[i].name);
        r = r ? r : add(digest, ":");
        r = r ? r : add_value(digest, fields[i].value);
        r = r ? r : add(digest, "\n");
    }
    sign_headers(request, names);
    r = r ? r : add(digest, "\n");
    r = r ? r : add(digest, names);
    return r ? r : add(digest, "\n");
}

/* What both sides compute of a request, as its hash: it need not be kept. */
static int hash_request(const struct sign_request *request, char hex[DIGEST_HEX])
{
    scoped(digest) digest = digest_new();
    if (!digest)
        return -ENOMEM;
    int r = add(digest, request->method);
    r = r ? r : add(digest, "\n");
    r = r ? r : add(digest, request->path);
    r = r ? r : add(digest, "\n");
    r = r ? r : add_query(digest, request);
    r = r ? r : add_headers(digest, request);
    r = r ? r : add(digest, request->payload);
    return r ? r : digest_end(digest, hex);
}

static int keyed(unsigned char key[EVP_MAX_MD_SIZE], size_t *key_size, struct slice text)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!HMAC(EVP_sha256(), key, (int)*key_size, text.data, text.size, hash, &size))
        return -ENOMEM;
    memcpy(key, hash, size);
    *key_size = size;
    return 0;
}

static int sign(const struct sign_keys *keys, const char *date, const char *text, char *ret_hex)
{
    unsigned char key[SIGN_KEY_MAX + 8];
    static_assert(sizeof key >= EVP_MAX_MD_SIZE, "it takes hashes too");
    size_t size = (size_t)snprintf((char *)key, sizeof key, "AWS4%s", keys->secret);
    assert(size < sizeof key);
    int r = keyed(key, &size, slice_make(date, 8));
    r = r ? r : keyed(key, &size, slice_of(keys->region));
    r = r ? r : keyed(key, &size, SLICE("s3"));
    r = r ? r : keyed(key, &size, SLICE("aws4_request"));
    r = r ? r : keyed(key, &size, slice_of(text));
    if (r == 0)
        digest_hex(key, size, ret_hex);
    OPENSSL_cleanse(key, sizeof key);
    return r;
}

void sign_date(int64_t wall_ms, char ret_date[SIGN_DATE])
{
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || !strftime(ret_date, SIGN_DATE, "%Y%m%dT%H%M%SZ", &tm))
        ret_date[0] = '\0';
}

void sign_scope(const struct sign_keys *keys, const char *date, char ret_scope[SIGN_SCOPE])
{
    (void)snprintf(ret_scope, SIGN_SCOPE, "%.8s/%s/s3/aws4_request", date, keys->region);
}

void sign_headers(const struct sign_request *request, char ret_names[SIGN_HEADERS])
{
    struct sign_field fields[SIGN_FIELDS_MAX];
    const size_t count = sorted(request->headers, request->header_count, fields);
    size_t size = 0;
    ret_names[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const size_t room = SIGN_HEADERS - size;
        size += (size_t)snprintf(ret_names + size, room, "%s%s", i ? ";" : "", fields[i].name);
        assert(size < SIGN_HEADERS); /* names are ours */
    }
}

int sign_signature(const struct sign_keys *keys, const struct sign_request *request,
                   const char *date, char ret_hex[SIGN_HEX])
{
    char hex[DIGEST_HEX];
    char scope[SIGN_SCOPE];
    char text[SIGN_SCOPE + DIGEST_HEX + 64];
    int r = hash_request(request, hex);
    if (r)
        return r;
    sign_scope(keys, date, scope);
    (void)snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hex);
    return sign(keys, date, text, ret_hex);
}

int sign_authorization(const struct sign_keys *keys, const struct sign_request *request,
                       const char *date, char ret_value[SIGN_AUTHORIZATION])
{
    char hex[SIGN_HEX];
    char scope[SIGN_SCOPE];
    char names[SIGN_HEADERS];
    int r = sign_signature(keys, request, date, hex);
    if (r)
        return r;
    sign_scope(keys, date, scope);
    sign_headers(request, names);
    (void)snprintf(ret_value, SIGN_AUTHORIZATION,
                   "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                   keys->access, scope, names, hex);
    return 0;
}
