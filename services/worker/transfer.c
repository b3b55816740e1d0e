/* What uploads and downloads have in common. */
#include "services/worker/transfer_self.h"

#include "common/objects/objects_settings.h"
#include "common/scoped.h"
#include "proto/codec.h"
#include "services/worker/trouble.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

int transfer_refuse(engine_t *engine, int result, const char *field, const char why[TRANSFER_WHY])
{
    if (result == STATUS_UNAVAILABLE || is_trouble(result))
        return engine_retry(engine, -1, "%s", why);
    return engine_refuse(engine, result > 0 ? (enum status)result : STATUS_INTERNAL, field, "%s",
                         why);
}

int transfer_says(int result, char ret_why[TRANSFER_WHY], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret_why, TRANSFER_WHY, format, args);
    va_end(args);
    return result;
}

/* An answer that is none, and an object that is another meanwhile, may go better the next time. */
int transfer_failed(const objects_t *objects, int result, const char *what,
                    char ret_why[TRANSFER_WHY])
{
    const char *said = objects_error_outside(objects);
    const char *known = result > 0 ? status_text(result) : strerror(-result);
    (void)transfer_says(0, ret_why, "%.200s: %.280s", what, said[0] ? said : known);
    bool again = result == STATUS_MALFORMED || result == STATUS_CONFLICT;
    return again ? STATUS_UNAVAILABLE : result;
}

const char *transfer_type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        { "jpg", "image/jpeg" },       { "jpeg", "image/jpeg" },       { "png", "image/png" },
        { "mp4", "video/mp4" },        { "mov", "video/quicktime" },   { "avi", "video/x-msvideo" },
        { "mkv", "video/x-matroska" }, { "wav", "audio/wav" },         { "mp3", "audio/mpeg" },
        { "flac", "audio/flac" },      { "txt", "text/plain" },        { "srt", "text/plain" },
        { "vtt", "text/vtt" },         { "json", "application/json" }, { "zip", "application/zip" },
        { "gz", "application/gzip" },
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot + 1, types[i].ending) == 0)
            return types[i].type;
    return "";
}

int transfer_join(const char *first, const char *second, char *ret_text, size_t size,
                  char ret_why[TRANSFER_WHY])
{
    int length = snprintf(ret_text, size, "%s/%s", first, second);
    if (length < 0 || (size_t)length >= size)
        return transfer_says(STATUS_INVALID, ret_why, "the name is too long: %.300s", second);
    return 0;
}

/* ---- on the way ------------------------------------------------------------------------------ */

void transfer_moved(void *arg, uint64_t bytes)
{
    struct transfer_way *way = arg;
    way->done += bytes;
    if (way->total)
        engine_progress(way->engine, (double)way->done / (double)way->total);
}

void transfer_began(void *arg, const char *upload)
{
    const struct transfer_way *way = arg;
    transfer_keep(way->engine, way->bucket, way->key, upload);
}

static bool is_text(struct slice map, const char *key, const char *text)
{
    struct slice value, found;
    return codec_find(map, key, &value) && codec_str(value, &found) && slice_is(found, text);
}

void transfer_kept(const engine_t *engine, objects_t *objects, const char *bucket, const char *key,
                   char ret_upload[OBJECTS_UPLOAD_MAX])
{
    struct slice kept, value, text;
    ret_upload[0] = '\0';
    if (engine_checkpoint(engine, &kept) && is_text(kept, "bucket", bucket) &&
        is_text(kept, "key", key)) {
        if (codec_find(kept, "upload", &value) && codec_str(value, &text))
            (void)slice_copy(text, ret_upload, OBJECTS_UPLOAD_MAX);
    } else if (objects && engine_count(engine, "attempt") > 1) {
        /* whoever was killed left no checkpoint, but the store knows what was begun */
        (void)objects_unfinished(objects, bucket, key, ret_upload);
    }
}

void transfer_keep(engine_t *engine, const char *bucket, const char *key, const char *upload)
{
    const char *const pairs[][2] = { { "bucket", bucket }, { "key", key }, { "upload", upload } };
    scoped_in(packed) kept = { .failed = false };
    msgpack_packer pk = packed_packer(&kept);
    msgpack_pack_map(&pk, sizeof pairs / sizeof *pairs);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        pack_text(&pk, pairs[i][0]);
        pack_text(&pk, pairs[i][1]);
    }
    if (!kept.failed)
        engine_keep(engine, packed_slice(&kept));
}

/* ---- upload ---------------------------------------------------------------------------------- */

void transfer_done_clear(struct transfer_done *self)
{
    packed_clear(&self->names);
}

int transfer_put_one(const struct transfer_one *one, struct object_info *ret_info,
                     char ret_why[TRANSFER_WHY])
{
    char upload[OBJECTS_UPLOAD_MAX];
    const bool parts = one->bytes > (uint64_t)engine_settings(one->way->engine)->objects_part_bytes;
    transfer_kept(one->way->engine, parts ? one->objects : NULL, one->bucket, one->key, upload);
    one->way->bucket = one->bucket;
    one->way->key = one->key;
    const struct objects_watch watch = { .moved = transfer_moved, .arg = one->way };
    const struct objects_put put = { .bucket = one->bucket,
                                     .key = one->key,
                                     .content_type = one->content_type,
                                     .resume = upload,
                                     .began = transfer_began,
                                     .watch = watch };
    struct object_info info = { 0 };
    uint64_t before = one->way->done;
    int r = objects_put_file(one->objects, &put, one->path, &info);
    if (r == -EACCES || r == -EPERM)
        return transfer_says(STATUS_DENIED, ret_why, "%.300s cannot be read: %s", one->path,
                             strerror(-r));
    if (r)
        return transfer_failed(one->objects, r, one->path, ret_why);
    if (info.bytes != one->bytes)
        return transfer_says(STATUS_UNAVAILABLE, ret_why, "%.300s changed while it was uploaded",
                             one->path);
    one->way->done = before + one->bytes; /* whatever was sent twice */
    if (one->verify)
        r = objects_verify(one->objects, one->bucket, one->key, &info, NULL);
    if (r)
        return transfer_failed(one->objects, r, one->key, ret_why);
    *ret_info = info;
    return 0;
}

void transfer_name_only(struct transfer_done *done, const char *name)
{
    packed_clear(&done->names);
    msgpack_packer pk = packed_packer(&done->names);
    msgpack_pack_array(&pk, 1);
    pack_text(&pk, name);
}

static int put_file(engine_t *engine, objects_t *objects, const struct transfer_put *put,
                    uint64_t bytes, struct transfer_done *done, char why[TRANSFER_WHY])
{
    struct transfer_way way = { .engine = engine, .total = bytes };
    struct object_info info = { 0 };
    const struct transfer_one one = { .objects = objects,
                                      .bucket = put->bucket,
                                      .key = put->key,
                                      .path = put->path,
                                      .content_type = put->content_type[0]
                                                          ? put->content_type
                                                          : transfer_type_of(put->path),
                                      .bytes = bytes,
                                      .verify = put->verify,
                                      .way = &way };
    int r = transfer_put_one(&one, &info, why);
    if (r)
        return r;
    done->files = 1;
    done->bytes = info.bytes;
    memcpy(done->sha256, info.sha256, sizeof done->sha256);
    if (objects_url(objects, put->bucket, put->key, done->url))
        return transfer_failed(objects, STATUS_INVALID, put->key, why);
    const char *name = strrchr(put->path, '/');
    transfer_name_only(done, name ? name + 1 : put->path);
    return 0;
}

static int put_folder(engine_t *engine, objects_t *objects, const struct transfer_put *put,
                      struct transfer_done *done, char why[TRANSFER_WHY])
{
    bool against = true;
    done->fell_back = put->fall_back;
    if (!put->compress)
        return transfer_put_folder(engine, objects, put, done, why);
    done->fell_back = false;
    int r = transfer_put_archive(engine, objects, put, done, &against, why);
    if (r == 0 || !put->fall_back || against)
        return r;
    done->fell_back = true;
    return transfer_put_folder(engine, objects, put, done, why);
}

static int check_target(const struct transfer_put *put, const struct settings *settings,
                        char why[TRANSFER_WHY])
{
    if (!objects_bucket_allowed(settings, put->bucket))
        return transfer_says(STATUS_DENIED, why,
                             "the bucket %.63s is neither objects.bucket nor in objects.buckets",
                             put->bucket);
    if (!objects_key_valid(put->key))
        return transfer_says(STATUS_INVALID, why, "%.300s cannot be the name of an object",
                             put->key);
    return 0;
}

static int look_at(const char *path, struct stat *ret_about, char why[TRANSFER_WHY])
{
    if (lstat(path, ret_about) != 0)
        return transfer_says(errno == ENOENT ? STATUS_NOT_FOUND : -errno, why, "%.300s: %s", path,
                             strerror(errno));
    if (!S_ISREG(ret_about->st_mode) && !S_ISDIR(ret_about->st_mode))
        return transfer_says(STATUS_UNSUPPORTED, why, "%.300s is neither a file nor a folder",
                             path);
    return 0;
}

static int put_any(engine_t *engine, const struct transfer_put *put, struct transfer_done *ret_done,
                   char ret_why[TRANSFER_WHY])
{
    const struct settings *settings = engine_settings(engine);
    struct transfer_put whole = *put;
    objects_t *objects = NULL;
    struct stat about;
    bool own = !put->bucket[0] || strcmp(put->bucket, settings->objects_bucket) == 0;
    whole.bucket = own ? settings->objects_bucket : put->bucket;
    int r = engine_store(engine, &objects, ret_why, TRANSFER_WHY);
    if (r == 0)
        r = check_target(&whole, settings, ret_why);
    if (r == 0)
        r = look_at(put->path, &about, ret_why);
    if (r)
        return r;
    if (own)
        r = objects_make_bucket(objects, whole.bucket);
    if (r)
        return transfer_failed(objects, r, whole.bucket, ret_why);
    return S_ISDIR(about.st_mode)
               ? put_folder(engine, objects, &whole, ret_done, ret_why)
               : put_file(engine, objects, &whole, (uint64_t)about.st_size, ret_done, ret_why);
}

int transfer_put(engine_t *engine, const struct transfer_put *put, struct transfer_done *ret_done,
                 char ret_why[TRANSFER_WHY])
{
    ret_why[0] = '\0';
    int r = put_any(engine, put, ret_done, ret_why);
    return r < 0 && !ret_why[0] ? transfer_says(r, ret_why, "%.300s: %s", put->path, strerror(-r))
                                : r;
}
