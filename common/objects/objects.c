#include "common/objects/objects.h"

#include "common/clock.h"
#include "common/objects/digest.h"
#include "common/objects/locate.h"
#include "common/objects/store.h"
#include "common/scoped.h"
#include "common/status.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

enum { PRESIGN_MAX_S = 604800, PRESIGN_FIELDS = 5 };

/* ---- life ------------------------------------------------------------------------------------ */

static bool word(const char *text, size_t size_max)
{
    const size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return size > 0 && size < size_max;
}

static bool sound(const struct objects_row *row)
{
    return word(row->access_key, SIGN_KEY_MAX) && !strpbrk(row->access_key, "/,") &&
           word(row->secret_key, SIGN_KEY_MAX) && word(row->region, SIGN_REGION_MAX) &&
           !strchr(row->region, '/') && row->timeout_ms > 0 && row->tries > 0 &&
           row->parallel > 0 && row->part_bytes >= OBJECTS_PART_LEAST;
}

static int fill(objects_t *self, const struct objects_row *row)
{
    struct wire *wire = &self->wire;
    (void)snprintf(wire->access, sizeof wire->access, "%s", row->access_key);
    (void)snprintf(wire->secret, sizeof wire->secret, "%s", row->secret_key);
    (void)snprintf(wire->region, sizeof wire->region, "%s", row->region);
    wire->timeout_ms = row->timeout_ms;
    wire->tries = row->tries;
    wire->turned_ms = clock_ms();
    self->part_bytes = row->part_bytes;
    self->parallel = row->parallel;
    if (row->ca_file[0]) {
        wire->ca_file = strdup(row->ca_file);
        if (!wire->ca_file)
            return -ENOMEM;
    }
    wire->multi = curl_multi_init();
    self->plain = wire->multi ? exchange_new(wire) : NULL;
    if (!self->plain)
        return -ENOMEM;
    (void)curl_multi_setopt(wire->multi, CURLMOPT_MAXCONNECTS, (long)row->parallel + 2);
    return 0;
}

int objects_new(const struct objects_row *row, objects_t **ret_objects)
{
    struct endpoint endpoint;
    if (!endpoint_read(slice_of(row->endpoint), &endpoint) || !sound(row))
        return STATUS_INVALID;
    scoped(objects) self = calloc(1, sizeof *self);
    if (!self || curl_global_init(CURL_GLOBAL_DEFAULT))
        return -ENOMEM;
    (void)endpoint_read(slice_of(row->endpoint), &self->wire.endpoint);
    const int r = fill(self, row);
    if (r)
        return r;
    *ret_objects = self;
    self = NULL; /* the caller's now */
    return 0;
}

void objects_destroy(objects_t **self_p)
{
    objects_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    exchange_destroy(&self->plain);
    assert(!self->wire.first); /* writers end before their store */
    curl_multi_cleanup(self->wire.multi);
    OPENSSL_cleanse(self->wire.secret, sizeof self->wire.secret);
    free(self->wire.ca_file);
    free(self);
}

const char *objects_error(const objects_t *self)
{
    return self->wire.error;
}

const char *objects_error_outside(const objects_t *self)
{
    if (self->wire.link[0])
        return self->wire.link;
    const char *endpoint = self->wire.endpoint.text;
    const char *at = strstr(self->wire.error, endpoint);
    if (!at)
        return self->wire.error;
    at += strlen(endpoint);
    return strncmp(at, ": ", 2) == 0 ? at + 2 : "the object store failed";
}

int store_check(objects_t *self, const char *bucket, const char *key)
{
    wire_hush(&self->wire);
    if (!objects_bucket_valid(bucket)) {
        wire_say(&self->wire, "a bucket's name is 3 to 63 of a-z 0-9 . -");
        return STATUS_INVALID;
    }
    if (key && !objects_key_valid(key)) {
        wire_say(&self->wire,
                 "a key is 1 to 1024 bytes of UTF-8, without control characters, \"//\", "
                 "a leading \"/\" and the segments \".\" and \"..\"");
        return STATUS_INVALID;
    }
    return 0;
}

/* ---- requests that are one ------------------------------------------------------------------- */

static int create_bucket(objects_t *self, const char *bucket)
{
    char body[256] = "";
    if (strcmp(self->wire.region, "us-east-1") != 0) /* AWS's own, which it refuses to be told */
        (void)snprintf(body, sizeof body,
                       "<CreateBucketConfiguration "
                       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>%s"
                       "</LocationConstraint></CreateBucketConfiguration>",
                       self->wire.region);
    const struct ask ask = { .method = "PUT", .bucket = bucket, .body = slice_of(body) };
    const int r = exchange_run(self->plain, &ask, NULL);
    if (r == STATUS_CONFLICT && strcmp(self->plain->code, "BucketAlreadyOwnedByYou") == 0)
        return 0; /* somebody else made it just now */
    return r;
}

int objects_make_bucket(objects_t *self, const char *bucket)
{
    int r = store_check(self, bucket, NULL);
    if (r)
        return r;
    const struct ask ask = { .method = "HEAD", .bucket = bucket };
    r = exchange_run(self->plain, &ask, NULL);
    return r == STATUS_NOT_FOUND ? create_bucket(self, bucket) : r;
}

int objects_head(objects_t *self, const char *bucket, const char *key, struct object_info *ret_info)
{
    const struct ask ask = { .method = "HEAD", .bucket = bucket, .key = key };
    int r = store_check(self, bucket, key);
    r = r ? r : exchange_run(self->plain, &ask, NULL);
    if (r == 0)
        exchange_info(self->plain, ret_info);
    return r;
}

int objects_delete(objects_t *self, const char *bucket, const char *key)
{
    const struct ask ask = { .method = "DELETE", .bucket = bucket, .key = key };
    int r = store_check(self, bucket, key);
    r = r ? r : exchange_run(self->plain, &ask, NULL);
    return r == STATUS_NOT_FOUND && strcmp(self->plain->code, "NoSuchBucket") != 0 ? 0 : r;
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* The query of a signed address, its values encoded already. */
static int write_signed(const struct wire *wire, const struct sign_request *request,
                        const char *date, const char *base, char ret_url[OBJECTS_URL_MAX])
{
    const struct sign_keys keys = { wire->access, wire->secret, wire->region };
    char hex[SIGN_HEX];
    char url[OBJECTS_URL_MAX];
    int r = sign_signature(&keys, request, date, hex);
    if (r)
        return r;
    size_t size = (size_t)snprintf(url, sizeof url, "%s%s", base, request->path);
    for (size_t i = 0; i < request->query_count && size < sizeof url; i++)
        size += (size_t)snprintf(url + size, sizeof url - size, "%c%s=%s", i ? '&' : '?',
                                 request->query[i].name, request->query[i].value);
    if (size < sizeof url)
        size += (size_t)snprintf(url + size, sizeof url - size, "&X-Amz-Signature=%s", hex);
    if (size >= sizeof url)
        return STATUS_INVALID;
    memcpy(ret_url, url, size + 1);
    return 0;
}

int objects_presign(const objects_t *self, const struct objects_link *link,
                    char ret_url[OBJECTS_URL_MAX])
{
    const struct wire *wire = &self->wire;
    const struct sign_keys keys = { wire->access, wire->secret, wire->region };
    struct endpoint other;
    char path[NAME_PATH_MAX];
    char date[SIGN_DATE];
    char scope[SIGN_SCOPE];
    char credential[SIGN_KEY_MAX + SIGN_SCOPE];
    char coded[3 * sizeof credential];
    char expires[16];
    if (!endpoint_read(slice_of(link->endpoint[0] ? link->endpoint : wire->endpoint.text),
                       &other) ||
        !objects_bucket_valid(link->bucket) || !objects_key_valid(link->key) ||
        link->seconds == 0 || link->seconds > PRESIGN_MAX_S)
        return STATUS_INVALID;

    sign_date(clock_wall_ms(), date);
    sign_scope(&keys, date, scope);
    name_path(link->bucket, link->key, path);
    (void)snprintf(credential, sizeof credential, "%s/%s", keys.access, scope);
    (void)name_encode(slice_of(credential), false, coded, sizeof coded);
    (void)snprintf(expires, sizeof expires, "%u", link->seconds);
    const struct sign_field query[PRESIGN_FIELDS] = {
        { "X-Amz-Algorithm", "AWS4-HMAC-SHA256" },
        { "X-Amz-Credential", coded },
        { "X-Amz-Date", date },
        { "X-Amz-Expires", expires },
        { "X-Amz-SignedHeaders", "host" },
    };
    const struct sign_field host = { "host", other.host };
    const struct sign_request request = { .method = link->method,
                                          .path = path,
                                          .query = query,
                                          .query_count = PRESIGN_FIELDS,
                                          .headers = &host,
                                          .header_count = 1,
                                          .payload = "UNSIGNED-PAYLOAD" };
    return write_signed(wire, &request, date, other.text, ret_url);
}

int objects_url(const objects_t *self, const char *bucket, const char *key,
                char ret_url[OBJECTS_URL_MAX])
{
    char path[NAME_PATH_MAX];
    if (!objects_bucket_valid(bucket) || !objects_key_valid(key))
        return STATUS_INVALID;
    name_path(bucket, key, path);
    (void)snprintf(ret_url, OBJECTS_URL_MAX, "%s%s", self->wire.endpoint.text, path);
    return 0;
}

int objects_locate(const objects_t *self, const char *bucket, struct slice text,
                   char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1])
{
    return locate(&self->wire.endpoint, bucket, text, ret_bucket, ret_key);
}
