#include "common/file.h"
#include "common/objects/digest.h"
#include "common/objects/retry.h"
#include "common/objects/store.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { FRESH_BYTES = 1 << 20 }; /* a try that brought so many begins the count of tries anew */

/* One read over all its tries. */
struct reading {
    objects_t *objects;
    const struct objects_get *get;
    struct exchange *exchange;
    uint64_t at;             /* of the object: the next byte that is wanted */
    uint64_t end;            /* behind the last one */
    uint64_t came;           /* in this try */
    bool known;              /* info is */
    bool checked;            /* the head of this try's answer is */
    struct object_info info; /* of the object, as its first answer told it */
    char range[64];          /* headers of this try */
    char match[OBJECTS_ETAG_MAX + 2];
};

static int refuse(struct reading *self, int result, const char *why)
{
    wire_say(&self->objects->wire, "GET %s/%.200s at %s: %s", self->get->bucket, self->get->key,
             self->objects->wire.endpoint.text, why);
    return result;
}

/* "bytes 5-9/10": where it begins, and how long the object is. */
static bool read_range(const char *text, uint64_t *ret_first, uint64_t *ret_size)
{
    char *end;
    if (strncmp(text, "bytes ", 6) != 0)
        return false;
    const uint64_t first = strtoull(text + 6, &end, 10);
    if (*end != '-')
        return false;
    const uint64_t last = strtoull(end + 1, &end, 10);
    if (*end != '/')
        return false;
    const uint64_t size = strtoull(end + 1, &end, 10);
    if (*end || first > last || last >= size)
        return false;
    *ret_first = first;
    *ret_size = size;
    return true;
}

/* The answer is of what was asked for, and of the same object as before. */
static int check_head(struct reading *self)
{
    char text[96];
    struct object_info info;
    uint64_t first = 0;
    exchange_info(self->exchange, &info);
    exchange_header(self->exchange, "Content-Range", text, sizeof text);
    if (self->exchange->http == 206 && !read_range(text, &first, &info.bytes))
        return refuse(self, STATUS_MALFORMED, "a part that does not say which");
    if (first != self->at)
        return refuse(self, STATUS_MALFORMED, "another part than was asked for");
    if (self->known && (strcmp(info.etag, self->info.etag) != 0 || info.bytes != self->info.bytes))
        return refuse(self, STATUS_CONFLICT, "it has become another");

    const uint64_t wanted = self->get->offset + self->get->bytes;
    self->end = self->get->bytes > 0 && wanted < info.bytes ? wanted : info.bytes;
    self->info = info;
    self->known = true;
    self->checked = true;
    return 0;
}

static int on_bytes(void *arg, const void *bytes, size_t size)
{
    struct reading *self = arg;
    int r = self->checked ? 0 : check_head(self);
    if (r)
        return r;
    if (size > self->end - self->at)
        return refuse(self, STATUS_MALFORMED, "more bytes than were asked for");
    r = self->get->sink(self->get->arg, bytes, size);
    if (r)
        return r;
    self->at += size;
    self->came += size;
    watch_moved(&self->get->watch, size);
    return watch_stops(&self->get->watch) ? -ECANCELED : 0;
}

static int ask_once(struct reading *self)
{
    struct ask ask = { .method = "GET",
                       .bucket = self->get->bucket,
                       .key = self->get->key,
                       .tries = 1,
                       .sink = on_bytes,
                       .arg = self };
    size_t count = 0;
    if (self->at > 0 || self->get->bytes > 0) {
        (void)snprintf(self->range, sizeof self->range, "bytes=%llu-",
                       (unsigned long long)self->at);
        const size_t size = strlen(self->range);
        if (self->get->bytes > 0)
            (void)snprintf(self->range + size, sizeof self->range - size, "%llu",
                           (unsigned long long)(self->get->offset + self->get->bytes - 1));
        ask.headers[count++] = (struct sign_field){ "range", self->range };
    }
    if (self->known && self->info.etag[0]) {
        (void)snprintf(self->match, sizeof self->match, "\"%s\"", self->info.etag);
        ask.headers[count++] = (struct sign_field){ "if-match", self->match };
    }
    self->came = 0;
    self->checked = false;
    int r = exchange_run(self->exchange, &ask, &self->get->watch);
    if (r == 0 && !self->checked)
        r = check_head(self); /* of an answer without a byte */
    return r;
}

/* Ended well, or well enough: broken off behind the last byte. */
static bool is_whole(const struct reading *self)
{
    return self->known && self->at == self->end;
}

static int read_all(struct reading *self)
{
    uint32_t tried = 0;
    uint32_t random = 0;
    while (true) {
        int r = ask_once(self);
        if (r == 0 && !is_whole(self))
            r = refuse(self, STATUS_MALFORMED, "fewer bytes than were asked for");
        if (r == 0 || (r > 0 && self->exchange->again && is_whole(self)))
            return 0;
        tried = self->came >= FRESH_BYTES ? 1 : tried + 1;
        if (!self->exchange->again || tried >= self->objects->wire.tries)
            return r;
        (void)getrandom(&random, sizeof random, GRND_NONBLOCK);
        r = wire_pause(&self->objects->wire, retry_wait_ms(tried, self->exchange->wish_s, random),
                       &self->get->watch);
        if (r)
            return r;
    }
}

int objects_read(objects_t *self, const struct objects_get *get, struct object_info *ret_info)
{
    struct reading reading = {
        .objects = self, .get = get, .exchange = self->plain, .at = get->offset
    };
    int r = store_check(self, get->bucket, get->key);
    if (r == 0 && get->bytes > UINT64_MAX - get->offset)
        r = STATUS_INVALID;
    r = r ? r : read_all(&reading);
    if (r == 0)
        *ret_info = reading.info;
    return r;
}

/* ---- all of it, with its checksum ------------------------------------------------------------ */

struct summing {
    digest_t *digest;
    int fd; /* -1: only summed */
};

static int sum_up(void *arg, const void *bytes, size_t size)
{
    struct summing *self = arg;
    const int r = digest_add(self->digest, slice_make(bytes, size));
    return r || self->fd < 0 ? r : file_write(self->fd, slice_make(bytes, size));
}

/* sha256 of info is that of what came; another than the object says it has: STATUS_CONFLICT. */
static int read_summed(objects_t *self, const struct objects_get *asked, int fd,
                       struct object_info *ret_info)
{
    scoped(digest) digest = digest_new();
    struct summing summing = { digest, fd };
    struct objects_get get = *asked;
    struct object_info info;
    char said[sizeof info.sha256];
    if (!digest)
        return -ENOMEM;
    get.sink = sum_up;
    get.arg = &summing;
    int r = objects_read(self, &get, &info);
    if (r)
        return r;
    (void)snprintf(said, sizeof said, "%s", info.sha256);
    r = digest_end(digest, info.sha256);
    if (r == 0 && said[0] && strcmp(said, info.sha256) != 0) {
        wire_say(&self->wire, "%s/%.200s is not what was written: its SHA-256 is %s, not %s",
                 get.bucket, get.key, info.sha256, said);
        r = STATUS_CONFLICT;
    }
    if (r == 0)
        *ret_info = info;
    return r;
}

int objects_get_file(objects_t *self, const char *bucket, const char *key, const char *path,
                     const struct objects_watch *watch, struct object_info *ret_info)
{
    struct objects_get get = { .bucket = bucket, .key = key };
    int r = store_check(self, bucket, key);
    if (r)
        return r;
    if (watch)
        get.watch = *watch;
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    r = read_summed(self, &get, fd, ret_info);
    if (close(fd) && r == 0)
        r = -errno;
    if (r)
        (void)unlink(path);
    return r;
}

/* ---- what the store has ---------------------------------------------------------------------- */

/* The MD5 of the bytes, or of the MD5s of so many parts; other etags say nothing of them. */
static bool tells_bytes(const char *etag)
{
    unsigned char md5[DIGEST_MD5];
    if (strlen(etag) < DIGEST_MD5_HEX - 1 || !digest_unhex(etag, md5, sizeof md5))
        return false;
    const char *rest = etag + DIGEST_MD5_HEX - 1;
    return rest[0] == '\0' ||
           (rest[0] == '-' && strspn(rest + 1, "0123456789") == strlen(rest + 1));
}

static int differs(objects_t *self, const char *bucket, const char *key, const char *how)
{
    wire_say(&self->wire, "%s/%.200s is not what was written: %s", bucket, key, how);
    return STATUS_CONFLICT;
}

int objects_verify(objects_t *self, const char *bucket, const char *key,
                   const struct object_info *wanted, const struct objects_watch *watch)
{
    struct objects_get get = { .bucket = bucket, .key = key };
    struct object_info info;
    int r = objects_head(self, bucket, key, &info);
    if (r)
        return r;
    if (info.bytes != wanted->bytes)
        return differs(self, bucket, key, "its size is another");
    if (tells_bytes(wanted->etag) && strcmp(info.etag, wanted->etag) == 0)
        return 0;
    if (!wanted->sha256[0])
        return differs(self, bucket, key, "its etag is another, and no SHA-256 is known");
    if (watch)
        get.watch = *watch;
    r = read_summed(self, &get, -1, &info);
    if (r == 0 && strcmp(info.sha256, wanted->sha256) != 0)
        r = differs(self, bucket, key, "its SHA-256 is another");
    return r;
}
