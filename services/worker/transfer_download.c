/* Downloads into the attempt's folder: an object, all beneath a prefix, an archive that is
 * unpacked, or a file of a foreign server. */
#include "services/worker/transfer_self.h"

#include "common/objects/objects_settings.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/storage.h"
#include "common/utf8.h"
#include "services/worker/fetch.h"
#include "services/worker/folder_list.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

enum { FOLDER_MODE = 0777, ENDING_MAX = 16, NAME_BYTES = 256 };

#define UNPACK_FROM 0.7
#define ARCHIVE "archive.part"

struct download {
    engine_t *engine;
    const struct settings *settings;
    const struct transfer_get *get;
    objects_t *objects; /* NULL: of a foreign server */
    char bucket[OBJECTS_BUCKET_MAX + 1];
    char key[OBJECTS_KEY_MAX + 1];
    bool prefix;
    struct folder_list list; /* of a prefix */
    size_t head;             /* bytes of a key before the relative name */
    uint64_t done, total;
    double share; /* of the work that reading is */
    int listed;   /* why the listing was broken off */
    char *why;
};

void transfer_name_of(struct slice path, char ret_name[NAME_BYTES])
{
    const char *bytes = path.data;
    size_t begin = path.size;
    while (begin && bytes[begin - 1] != '/')
        begin--;
    struct slice name = slice_make(bytes + begin, path.size - begin);
    bool good = name.size && slice_copy(name, ret_name, NAME_BYTES) && strcmp(ret_name, ".") != 0 &&
                strcmp(ret_name, "..") != 0;
    if (good)
        return;
    size_t dot = name.size;
    while (dot && name.size - dot < ENDING_MAX && bytes[begin + dot - 1] != '.')
        dot--;
    bool ending = dot && dot < name.size && bytes[begin + dot - 1] == '.';
    (void)snprintf(ret_name, NAME_BYTES, "download%s%.*s", ending ? "." : "",
                   ending ? (int)(name.size - dot) : 0, bytes ? bytes + begin + dot : "");
}

static void moved(void *arg, uint64_t bytes)
{
    struct download *self = arg;
    self->done += bytes;
    if (self->total)
        engine_progress(self->engine, self->share * (double)self->done / (double)self->total);
}

static int too_large(const struct download *self, const char *what, uint64_t is, int64_t limit)
{
    return transfer_says(STATUS_TOO_LARGE, self->why,
                         "%.200s has %llu %s: more than the %lld that unpack.%s_max allows",
                         self->get->source, (unsigned long long)is, what, (long long)limit, what);
}

/* ---- where it lies --------------------------------------------------------------------------- */

static bool is_web(const char *source)
{
    return strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0;
}

static int locate(struct download *self)
{
    struct slice text = slice_of(self->get->source);
    objects_t *objects = NULL;
    int r = engine_store(self->engine, &objects, self->why, TRANSFER_WHY);
    if (r == STATUS_UNSUPPORTED && is_web(self->get->source))
        return 0;
    if (r)
        return r;
    while (text.size && ((const char *)text.data)[text.size - 1] == '/') {
        self->prefix = true;
        text.size--;
    }
    r = objects_locate(objects, self->settings->objects_bucket, text, self->bucket, self->key);
    if (r == STATUS_UNSUPPORTED && is_web(self->get->source))
        return 0;
    if (r)
        return transfer_says(r, self->why, "%.300s names no object", self->get->source);
    if (!objects_bucket_allowed(self->settings, self->bucket))
        return transfer_says(STATUS_DENIED, self->why,
                             "the bucket %s is neither objects.bucket nor in objects.buckets",
                             self->bucket);
    self->objects = objects;
    return 0;
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool is_too_much(void *arg)
{
    const struct download *self = arg;
    return self->done > (uint64_t)self->settings->unpack_bytes_max;
}

static int read_object(struct download *self, const char *key, const char *path,
                       struct object_info *ret_info)
{
    const struct objects_watch watch = { .stop = is_too_much, .moved = moved, .arg = self };
    int r = objects_get_file(self->objects, self->bucket, key, path, &watch, ret_info);
    if (r == -ECANCELED)
        return too_large(self, "bytes", self->done, self->settings->unpack_bytes_max);
    if (r == -ENOTDIR || r == -EISDIR || r == -EEXIST)
        return transfer_says(STATUS_INVALID, self->why, "%.300s is a file and a folder", key);
    return r ? transfer_failed(self->objects, r, key, self->why) : 0;
}

static int get_object(struct download *self, const char *path, struct transfer_got *got)
{
    struct object_info info = { 0 };
    int r = objects_head(self->objects, self->bucket, self->key, &info);
    if (r == STATUS_NOT_FOUND)
        return r;
    if (r)
        return transfer_failed(self->objects, r, self->key, self->why);
    if (info.bytes > (uint64_t)self->settings->unpack_bytes_max)
        return too_large(self, "bytes", info.bytes, self->settings->unpack_bytes_max);
    self->total = info.bytes;
    r = read_object(self, self->key, path, &info);
    if (r)
        return r;
    got->bytes = info.bytes;
    memcpy(got->sha256, info.sha256, sizeof got->sha256);
    return 0;
}

/* ---- of a foreign server --------------------------------------------------------------------- */

static void fetched_so_far(void *arg, uint64_t done, uint64_t total)
{
    const struct download *self = arg;
    if (total)
        engine_progress(self->engine, self->share * (double)done / (double)total);
}

static int get_foreign(struct download *self, const char *path, struct transfer_got *got)
{
    struct fetched fetched = { 0 };
    char message[FETCH_MESSAGE] = "";
    const struct fetch_row row = { .url = self->get->source,
                                   .path = path,
                                   .allow = self->settings->callback_allow,
                                   .owned = engine_owned(self->engine),
                                   .bytes_max = (uint64_t)self->settings->unpack_bytes_max,
                                   .timeout_ms = self->settings->objects_timeout_ms,
                                   .tries = (uint32_t)self->settings->objects_tries,
                                   .moved = fetched_so_far,
                                   .arg = self };
    int r = fetch(&row, &fetched, message);
    if (r)
        return transfer_says(r, self->why, "%.500s", message);
    got->bytes = fetched.bytes;
    memcpy(got->sha256, fetched.sha256, sizeof got->sha256);
    return 0;
}

/* The value of a hexadecimal digit; 16: it is none. */
static unsigned digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (unsigned)(at - digits) % 16 : 16;
}

/* "%41" is a byte; at stands on the mark. */
static bool read_coded(const char *at, unsigned char *ret_byte)
{
    if (*at != '%' || digit(at[1]) == 16 || digit(at[2]) == 16)
        return false;
    *ret_byte = (unsigned char)(digit(at[1]) * 16 + digit(at[2]));
    return true;
}

/* The last part of an address's path, decoded. */
static void name_foreign(const char *url, char ret_name[NAME_BYTES])
{
    char text[NAME_BYTES];
    size_t used = 0;
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    size_t size = path ? strcspn(path, "?#") : 0;
    while (size && path[size - 1] != '/')
        size--;
    const char *at = path ? path + size : "";
    for (; *at && *at != '?' && *at != '#' && used < sizeof text - 1; at++) {
        unsigned char byte = 0;
        bool coded = read_coded(at, &byte);
        memcpy(&text[used++], coded ? (const void *)&byte : at, 1);
        at += coded ? 2 : 0;
    }
    bool good = utf8_is(slice_make(text, used)) && !memchr(text, '/', used);
    transfer_name_of(good ? slice_make(text, used) : slice_make(NULL, 0), ret_name);
}

/* ---- all beneath a prefix -------------------------------------------------------------------- */

static int on_listed(void *arg, const char *key, const struct object_info *info)
{
    struct download *self = arg;
    const char *name = strlen(key) >= self->head ? key + self->head : "";
    size_t size = strlen(name);
    if (size == 0 || name[size - 1] == '/') /* what tools make to stand for a folder */
        return 0;
    if (!paths_plain(name))
        self->listed = transfer_says(STATUS_DENIED, self->why,
                                     "%.300s would leave the folder it is downloaded into", key);
    else
        self->listed = folder_list_add(&self->list, name, info->bytes);
    if (self->listed == 0 && self->list.count > (uint64_t)self->settings->unpack_files_max)
        self->listed = too_large(self, "files", self->list.count, self->settings->unpack_files_max);
    if (self->listed == 0 && self->list.bytes > (uint64_t)self->settings->unpack_bytes_max)
        self->listed = too_large(self, "bytes", self->list.bytes, self->settings->unpack_bytes_max);
    return self->listed;
}

static int list_prefix(struct download *self)
{
    char prefix[OBJECTS_KEY_MAX + 2];
    int length = snprintf(prefix, sizeof prefix, "%s/", self->key);
    if (length < 0 || (size_t)length >= sizeof prefix)
        return transfer_says(STATUS_INVALID, self->why, "the key is too long");
    self->head = (size_t)length;
    int r = objects_list(self->objects, self->bucket, prefix, on_listed, self);
    if (self->listed)
        return self->listed;
    if (r && r != STATUS_NOT_FOUND)
        return transfer_failed(self->objects, r, self->bucket, self->why);
    if (self->list.count == 0)
        return transfer_says(STATUS_NOT_FOUND, self->why,
                             "there is no object %.300s, nor any beneath it", self->get->source);
    self->total = self->list.bytes;
    return 0;
}

static int get_member(struct download *self, const char *name)
{
    char path[PATH_MAX];
    char key[OBJECTS_KEY_MAX + 1];
    struct object_info info = { 0 };
    int r = transfer_join(self->get->to, name, path, sizeof path, self->why);
    if (r == 0)
        r = transfer_join(self->key, name, key, sizeof key, self->why);
    if (r)
        return r;
    r = storage_make_parents(self->get->to, name);
    if (r == -ENOTDIR)
        return transfer_says(STATUS_INVALID, self->why, "%.300s is beneath a file", key);
    return r ? r : read_object(self, key, path, &info);
}

static int get_prefix(struct download *self, struct transfer_got *got)
{
    int r = list_prefix(self);
    if (r == 0 && mkdir(self->get->to, FOLDER_MODE) != 0)
        r = -errno;
    for (size_t i = 0; r == 0 && i < self->list.count; i++)
        r = get_member(self, folder_list_name(&self->list, i));
    got->folder = true;
    got->files = self->list.count;
    got->bytes = self->done;
    return r;
}

/* ---- all together ---------------------------------------------------------------------------- */

static int unpack_it(struct download *self, struct transfer_got *got)
{
    char message[PACK_MESSAGE] = "";
    struct pack_stats stats = { 0 };
    const struct unpack_row row = { .archive = ARCHIVE,
                                    .folder = self->get->to,
                                    .files_max = (uint64_t)self->settings->unpack_files_max,
                                    .bytes_max = (uint64_t)self->settings->unpack_bytes_max,
                                    .ratio_max = (uint32_t)self->settings->unpack_ratio_max };
    if (mkdir(self->get->to, FOLDER_MODE) != 0)
        return -errno;
    engine_progress(self->engine, UNPACK_FROM);
    int r = unpack(&row, &stats, message);
    if (r)
        return transfer_says(r, self->why, "%.200s: %.280s", self->get->source,
                             message[0] ? message
                             : r > 0    ? status_text(r)
                                        : strerror(-r));
    (void)unlink(ARCHIVE);
    got->folder = got->unpacked = true;
    got->files = stats.files;
    got->bytes = stats.original_bytes;
    return 0;
}

static int get_one(struct download *self, struct transfer_got *got)
{
    enum pack_format format;
    bool archive = self->get->unpack && pack_format_of_name(got->name, &format);
    const char *path = archive ? ARCHIVE : self->get->to;
    self->share = archive ? UNPACK_FROM : 1;
    int r = self->objects ? get_object(self, path, got) : get_foreign(self, path, got);
    if (r)
        return r;
    got->files = 1;
    return archive ? unpack_it(self, got) : 0;
}

static int get_any(struct download *self, struct transfer_got *got)
{
    int r = locate(self);
    if (r)
        return r;
    if (self->objects)
        transfer_name_of(slice_of(self->key), got->name);
    else
        name_foreign(self->get->source, got->name);
    if (self->prefix && self->get->folders && self->objects)
        return get_prefix(self, got);
    r = get_one(self, got);
    if (r == STATUS_NOT_FOUND && self->objects && self->get->folders)
        return get_prefix(self, got);
    return r == STATUS_NOT_FOUND && !self->why[0]
               ? transfer_says(r, self->why, "there is no object %.300s", self->get->source)
               : r;
}

int transfer_get(engine_t *engine, const struct transfer_get *get, struct transfer_got *ret_got,
                 char ret_why[TRANSFER_WHY])
{
    struct download self = { .engine = engine,
                             .settings = engine_settings(engine),
                             .get = get,
                             .share = 1,
                             .why = ret_why };
    self.why[0] = '\0';
    int r = get_any(&self, ret_got);
    if (r < 0 && !self.why[0])
        (void)transfer_says(r, ret_why, "%.300s: %s", get->source, strerror(-r));
    folder_list_clear(&self.list);
    return r;
}
