/* Drives common/objects for test_objects.py: one call, told as one JSON object.
 *
 *     objects_ask [NAME=VALUE ...] -- CALL [ARGUMENT ...]
 *     objects_ask sign < REQUESTS    a JSON request a line: its signature and authorization */
#include "common/objects/name.h"
#include "common/objects/objects.h"
#include "common/objects/sign.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

typedef int call_fn(objects_t *objects, char **args, json_t *out);

static uint64_t moved;

/* ---- what stands in the answer --------------------------------------------------------------- */

static void tell_info(json_t *out, const struct object_info *info)
{
    (void)json_object_set_new(out, "bytes", json_integer((json_int_t)info->bytes));
    (void)json_object_set_new(out, "modified_ms", json_integer(info->modified_ms));
    (void)json_object_set_new(out, "etag", json_string(info->etag));
    (void)json_object_set_new(out, "sha256", json_string(info->sha256));
    (void)json_object_set_new(out, "type", json_string(info->content_type));
}

static void tell(json_t *out, const char *name, const char *text)
{
    (void)json_object_set_new(out, name, json_string(text));
}

static const char *result_name(int result)
{
    return result < 0 ? strerrorname_np(-result) : status_name(result);
}

static void on_moved(void *arg, uint64_t bytes)
{
    (void)arg;
    moved += bytes;
}

static bool on_stop(void *arg)
{
    const char *file = arg;
    return file && access(file, F_OK) == 0;
}

/* A file whose being there ends the call. */
static struct objects_watch watched(void)
{
    return (struct objects_watch){ on_stop, on_moved, getenv("STOP_FILE") };
}

static void on_began(void *arg, const char *upload)
{
    (void)arg;
    (void)fprintf(stderr, "began %s\n", upload);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static int call_make(objects_t *objects, char **args, json_t *out)
{
    (void)out;
    return objects_make_bucket(objects, args[0]);
}

static int call_head(objects_t *objects, char **args, json_t *out)
{
    struct object_info info;
    const int r = objects_head(objects, args[0], args[1], &info);
    if (r == 0)
        tell_info(out, &info);
    return r;
}

static int call_delete(objects_t *objects, char **args, json_t *out)
{
    (void)out;
    return objects_delete(objects, args[0], args[1]);
}

static int call_delete_prefix(objects_t *objects, char **args, json_t *out)
{
    uint64_t count = 0;
    const int r = objects_delete_prefix(objects, args[0], args[1], &count);
    (void)json_object_set_new(out, "count", json_integer((json_int_t)count));
    return r;
}

static int on_listed(void *arg, const char *key, const struct object_info *info)
{
    json_t *one = json_object();
    tell(one, "key", key);
    tell_info(one, info);
    return json_array_append_new(arg, one);
}

static int call_list(objects_t *objects, char **args, json_t *out)
{
    json_t *keys = json_array();
    (void)json_object_set_new(out, "keys", keys);
    return objects_list(objects, args[0], args[1], on_listed, keys);
}

/* BUCKET KEY FILE [TYPE [RESUME]] */
static int call_put(objects_t *objects, char **args, json_t *out)
{
    struct object_info info;
    const struct objects_put put = { .bucket = args[0],
                                     .key = args[1],
                                     .content_type = args[3],
                                     .resume = args[3] ? args[4] : NULL,
                                     .began = on_began,
                                     .watch = watched() };
    const int r = objects_put_file(objects, &put, args[2], &info);
    if (r == 0)
        tell_info(out, &info);
    return r;
}

/* BUCKET KEY PIECE: standard input, in pieces of so many bytes */
static int call_write(objects_t *objects, char **args, json_t *out)
{
    struct object_info info;
    objects_writer_t *writer = NULL;
    const struct objects_put put = {
        .bucket = args[0], .key = args[1], .began = on_began, .watch = watched()
    };
    const size_t piece = strtoul(args[2], NULL, 10);
    scoped_text char *bytes = malloc(piece);
    int r = objects_writer_new(objects, &put, &writer);
    for (ssize_t got = 1; r == 0 && got > 0;) {
        got = read(STDIN_FILENO, bytes, piece);
        if (got > 0)
            r = objects_write(writer, bytes, (size_t)got);
    }
    if (r)
        objects_writer_abort(&writer, false);
    else
        r = objects_writer_end(&writer, &info);
    if (r == 0)
        tell_info(out, &info);
    return r;
}

/* BUCKET KEY FILE */
static int call_get(objects_t *objects, char **args, json_t *out)
{
    struct object_info info;
    const struct objects_watch watch = watched();
    const int r = objects_get_file(objects, args[0], args[1], args[2], &watch, &info);
    if (r == 0)
        tell_info(out, &info);
    return r;
}

static int on_bytes(void *arg, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, arg) == size ? 0 : -errno;
}

struct within {
    objects_t *objects;
    char **args;
};

static int ask_within(void *arg, const void *bytes, size_t size)
{
    const struct within *self = arg;
    struct object_info info;
    (void)bytes;
    (void)size;
    return objects_head(self->objects, self->args[0], self->args[1], &info);
}

/* BUCKET KEY: a read whose sink asks the same store */
static int call_within(objects_t *objects, char **args, json_t *out)
{
    struct within within = { objects, args };
    struct object_info info;
    const struct objects_get get = {
        .bucket = args[0], .key = args[1], .sink = ask_within, .arg = &within
    };
    (void)out;
    return objects_read(objects, &get, &info);
}

/* BUCKET KEY FILE OFFSET BYTES */
static int call_read(objects_t *objects, char **args, json_t *out)
{
    struct object_info info;
    FILE *file = fopen(args[2], "wbe");
    const struct objects_get get = { .bucket = args[0],
                                     .key = args[1],
                                     .offset = strtoull(args[3], NULL, 10),
                                     .bytes = strtoull(args[4], NULL, 10),
                                     .sink = on_bytes,
                                     .arg = file,
                                     .watch = watched() };
    if (!file)
        return -errno;
    const int r = objects_read(objects, &get, &info);
    (void)fclose(file);
    if (r == 0)
        tell_info(out, &info);
    return r;
}

/* BUCKET KEY BYTES ETAG SHA256 */
static int call_verify(objects_t *objects, char **args, json_t *out)
{
    struct object_info info = { .bytes = strtoull(args[2], NULL, 10) };
    const struct objects_watch watch = watched();
    (void)out;
    (void)slice_copy(slice_of(args[3]), info.etag, sizeof info.etag);
    (void)slice_copy(slice_of(args[4]), info.sha256, sizeof info.sha256);
    return objects_verify(objects, args[0], args[1], &info, &watch);
}

/* METHOD ENDPOINT BUCKET KEY SECONDS */
static int call_presign(objects_t *objects, char **args, json_t *out)
{
    char url[OBJECTS_URL_MAX] = "";
    const struct objects_link link = { .method = args[0],
                                       .endpoint = args[1],
                                       .bucket = args[2],
                                       .key = args[3],
                                       .seconds = (uint32_t)strtoul(args[4], NULL, 10) };
    const int r = objects_presign(objects, &link, url);
    tell(out, "url", url);
    return r;
}

static int call_url(objects_t *objects, char **args, json_t *out)
{
    char url[OBJECTS_URL_MAX] = "";
    char bucket[OBJECTS_BUCKET_MAX + 1] = "";
    char key[OBJECTS_KEY_MAX + 1] = "";
    int r = objects_url(objects, args[0], args[1], url);
    r = r ? r : objects_locate(objects, "other", slice_of(url), bucket, key);
    tell(out, "url", url);
    tell(out, "bucket", bucket);
    tell(out, "key", key);
    return r;
}

static const struct {
    const char *name;
    call_fn *call;
    int args; /* at least */
} calls[] = {
    { "make", call_make, 1 },       { "head", call_head, 2 },
    { "delete", call_delete, 2 },   { "delete_prefix", call_delete_prefix, 2 },
    { "list", call_list, 2 },       { "put", call_put, 3 },
    { "write", call_write, 3 },     { "get", call_get, 3 },
    { "read", call_read, 5 },       { "verify", call_verify, 5 },
    { "presign", call_presign, 5 }, { "url", call_url, 2 },
    { "within", call_within, 2 },
};

/* ---- the store ------------------------------------------------------------------------------- */

static bool set_row(struct objects_row *row, const char *pair)
{
    struct slice value;
    const struct slice name = slice_until(slice_of(pair), '=', &value);
    const char *text = value.data;
    if (!text)
        return false;
    if (slice_is(name, "endpoint"))
        row->endpoint = text;
    else if (slice_is(name, "region"))
        row->region = text;
    else if (slice_is(name, "access_key"))
        row->access_key = text;
    else if (slice_is(name, "secret_key"))
        row->secret_key = text;
    else if (slice_is(name, "ca_file"))
        row->ca_file = text;
    else if (slice_is(name, "timeout_ms"))
        row->timeout_ms = strtol(text, NULL, 10);
    else if (slice_is(name, "tries"))
        row->tries = (uint32_t)strtoul(text, NULL, 10);
    else if (slice_is(name, "part_bytes"))
        row->part_bytes = strtoull(text, NULL, 10);
    else if (slice_is(name, "parallel"))
        row->parallel = (uint32_t)strtoul(text, NULL, 10);
    else
        return false;
    return true;
}

/* Of this process alone: getrusage() counts what it was forked from. */
static long most_memory(void)
{
    char line[128];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        (void)sscanf(line, "VmHWM: %ld", &kib);
    if (status)
        (void)fclose(status);
    return kib * 1024;
}

static int call(objects_t *objects, int count, char **args, json_t *out)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, args[0]) == 0 && count > calls[i].args)
            return calls[i].call(objects, args + 1, out);
    (void)fprintf(stderr, "no such call: %s\n", args[0]);
    exit(2);
}

static int ask(int count, char **args)
{
    struct objects_row row = { .endpoint = "http://127.0.0.1:1",
                               .region = "us-east-1",
                               .access_key = "test:tester",
                               .secret_key = "testing",
                               .ca_file = "",
                               .timeout_ms = 30000,
                               .tries = 5,
                               .part_bytes = 8 << 20,
                               .parallel = 3 };
    scoped(objects) objects = NULL;
    int at = 0;
    while (at < count && strcmp(args[at], "--") != 0)
        if (!set_row(&row, args[at++]))
            return 2;
    if (count - at < 2)
        return 2;
    json_t *out = json_object();
    int r = objects_new(&row, &objects);
    if (r == 0)
        r = call(objects, count - at - 1, args + at + 1, out);
    tell(out, "status", result_name(r));
    tell(out, "error", objects && r ? objects_error(objects) : "");
    tell(out, "outside", objects && r ? objects_error_outside(objects) : "");
    (void)json_object_set_new(out, "moved", json_integer((json_int_t)moved));
    (void)json_object_set_new(out, "rss", json_integer(most_memory()));
    (void)json_dumpf(out, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(out);
    return 0;
}

/* ---- signatures ------------------------------------------------------------------------------ */

static char *coded(const char *text, bool slash)
{
    const size_t size = name_encode(slice_of(text), slash, NULL, 0) + 1;
    char *coded_text = malloc(size);
    (void)name_encode(slice_of(text), slash, coded_text, size);
    return coded_text;
}

static size_t take_fields(json_t *pairs, bool encode, struct sign_field *fields, char **owned)
{
    size_t index;
    json_t *pair;
    json_array_foreach (pairs, index, pair) {
        const char *name = json_string_value(json_array_get(pair, 0));
        const char *value = json_string_value(json_array_get(pair, 1));
        owned[2 * index] = encode ? coded(name, false) : strdup(name);
        owned[2 * index + 1] = encode ? coded(value, false) : strdup(value);
        fields[index] = (struct sign_field){ owned[2 * index], owned[2 * index + 1] };
    }
    return json_array_size(pairs);
}

static const char *text_of(json_t *request, const char *name)
{
    return json_string_value(json_object_get(request, name));
}

static void sign_one(json_t *request)
{
    struct sign_field query[SIGN_FIELDS_MAX];
    struct sign_field headers[SIGN_FIELDS_MAX];
    char *owned[4 * SIGN_FIELDS_MAX] = { NULL };
    const struct sign_keys keys = { text_of(request, "access"), text_of(request, "secret"),
                                    text_of(request, "region") };
    scoped_text char *path = coded(text_of(request, "path"), true);
    struct sign_request sign = { .method = text_of(request, "method"),
                                 .path = path,
                                 .query = query,
                                 .headers = headers,
                                 .payload = text_of(request, "payload") };
    sign.query_count = take_fields(json_object_get(request, "query"), true, query, owned);
    sign.header_count = take_fields(json_object_get(request, "headers"), false, headers,
                                    owned + 2 * sign.query_count);
    char hex[SIGN_HEX] = "";
    char authorization[SIGN_AUTHORIZATION] = "";
    (void)sign_signature(&keys, &sign, text_of(request, "date"), hex);
    (void)sign_authorization(&keys, &sign, text_of(request, "date"), authorization);
    (void)printf("%s %s\n", hex, authorization);
    for (size_t i = 0; i < 4 * SIGN_FIELDS_MAX; i++)
        free(owned[i]);
}

static int sign_all(void)
{
    json_t *request;
    while ((request = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL))) {
        sign_one(request);
        json_decref(request);
    }
    return 0;
}

int main(int count, char **args)
{
    if (count == 2 && strcmp(args[1], "sign") == 0)
        return sign_all();
    return count > 2 ? ask(count - 1, args + 1) : 2;
}
