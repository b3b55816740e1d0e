#include "common/objects/upload.h"

#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRIVEN_BYTES = 256 << 10, FILE_PIECE = 256 << 10 };

/* A part on its way. */
struct slot {
    struct exchange *exchange;
    char *bytes;
    uint32_t part; /* 0: free */
    char text[16]; /* its number in the request */
    struct ask ask;
};

struct objects_writer {
    objects_t *objects;
    struct upload upload; /* id "": none has begun, all bytes are in bytes */
    struct objects_watch watch;
    void (*began)(void *arg, const char *upload);
    char *texts; /* bucket, key, type and resume */
    const char *resume;
    char *bytes; /* of the part that is being filled */
    size_t size;
    size_t undriven; /* bytes written since what is under way was driven */
    uint32_t part;   /* number of the part that is being filled */
    uint64_t total;
    digest_t *digest;
    int failed; /* then nothing more is taken */
    size_t slots_count;
    struct slot slots[];
};

/* ---- life ------------------------------------------------------------------------------------ */

static void writer_free(objects_writer_t **self_p)
{
    objects_writer_t *self = *self_p;
    *self_p = NULL;
    for (size_t i = 0; i < self->slots_count; i++) {
        exchange_destroy(&self->slots[i].exchange);
        free(self->slots[i].bytes);
    }
    upload_clear(&self->upload);
    digest_destroy(&self->digest);
    free(self->bytes);
    free(self->texts);
    free(self);
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static const char *pack(char **at, const char *text)
{
    const size_t size = strlen(text) + 1;
    const char *packed = memcpy(*at, text, size);
    *at += size;
    return packed;
}

static int take_texts(objects_writer_t *self, const struct objects_put *put)
{
    const char *resume = text_of(put->resume);
    const char *type = text_of(put->content_type);
    type = type[0] ? type : "application/octet-stream";
    const size_t size = strlen(put->bucket) + strlen(put->key) + strlen(type) + strlen(resume) + 4;
    char *at = malloc(size);
    self->texts = at;
    if (!at)
        return -ENOMEM;
    self->upload.bucket = pack(&at, put->bucket);
    self->upload.key = pack(&at, put->key);
    self->upload.content_type = pack(&at, type);
    self->resume = pack(&at, resume);
    return 0;
}

static bool one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

int objects_writer_new(objects_t *objects, const struct objects_put *put,
                       objects_writer_t **ret_writer)
{
    const char *type = text_of(put->content_type);
    int r = store_check(objects, put->bucket, put->key);
    if (r == 0 && (strlen(type) > 127 || !one_line(type)))
        r = STATUS_INVALID;
    if (r)
        return r;
    const size_t slots = objects->parallel;
    objects_writer_t *self = calloc(1, sizeof *self + slots * sizeof *self->slots);
    if (!self)
        return -ENOMEM;
    self->objects = objects;
    self->upload.objects = objects;
    self->watch = put->watch;
    self->began = put->began;
    self->slots_count = slots;
    self->part = 1;
    self->bytes = malloc(objects->part_bytes);
    self->digest = digest_new();
    if (!self->bytes || !self->digest || take_texts(self, put)) {
        writer_free(&self);
        return -ENOMEM;
    }
    *ret_writer = self;
    return 0;
}

/* ---- parts on their way ---------------------------------------------------------------------- */

/* One that has ended: its part is in the store, or the writer has failed. */
static int reap(objects_writer_t *self, struct slot *slot)
{
    struct part *part = &self->upload.parts[slot->part - 1];
    slot->part = 0;
    int r = exchange_wait(slot->exchange, NULL);
    r = r ? r : etag_check(self->objects, slot->exchange, part->md5, &self->upload.opaque);
    if (r)
        return r;
    char text[OBJECTS_ETAG_MAX];
    exchange_header(slot->exchange, "ETag", text, sizeof text);
    const char *bare = text + (text[0] == '"');
    (void)snprintf(part->etag, sizeof part->etag, "%.*s", (int)strcspn(bare, "\""), bare);
    part->there = true;
    watch_moved(&self->watch, part->bytes);
    return 0;
}

static int reap_ended(objects_writer_t *self)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < self->slots_count; i++)
        if (self->slots[i].part > 0 && self->slots[i].exchange->state == EXCHANGE_ENDED)
            r = reap(self, &self->slots[i]);
    return r;
}

static int drive(objects_writer_t *self, int wait_ms)
{
    if (watch_stops(&self->watch))
        return -ECANCELED;
    const int r = wire_turn(&self->objects->wire, wait_ms);
    self->undriven = 0;
    return r ? r : reap_ended(self);
}

static struct slot *free_slot(objects_writer_t *self)
{
    for (size_t i = 0; i < self->slots_count; i++)
        if (self->slots[i].part == 0)
            return &self->slots[i];
    return NULL;
}

static bool any_under_way(const objects_writer_t *self)
{
    for (size_t i = 0; i < self->slots_count; i++)
        if (self->slots[i].part > 0)
            return true;
    return false;
}

static int prepare(objects_writer_t *self, struct slot *slot)
{
    if (!slot->exchange)
        slot->exchange = exchange_new(&self->objects->wire);
    if (!slot->bytes)
        slot->bytes = malloc(self->objects->part_bytes);
    return slot->exchange && slot->bytes ? 0 : -ENOMEM;
}

/* The part that is full leaves; its bytes and those of the slot change places. */
static int send_part(objects_writer_t *self)
{
    int r = 0;
    struct slot *slot = free_slot(self);
    while (!slot && r == 0) {
        r = drive(self, INT32_MAX);
        slot = free_slot(self);
    }
    r = r ? r : prepare(self, slot);
    if (r)
        return r;

    char *bytes = slot->bytes;
    slot->bytes = self->bytes;
    self->bytes = bytes;
    slot->part = self->part;
    slot->ask = upload_ask(&self->upload, slot->text, slot->part);
    slot->ask.body = slice_make(slot->bytes, self->size);
    exchange_begin(slot->exchange, &slot->ask);
    return drive(self, 0);
}

static int open_upload(objects_writer_t *self)
{
    char id[OBJECTS_UPLOAD_MAX];
    const int r = upload_open(&self->upload, self->resume, &self->watch);
    if (r) {
        self->upload.id[0] = '\0';
        return r;
    }
    (void)snprintf(id, sizeof id, "%s", self->upload.id);
    if (self->began)
        self->began(self->watch.arg, id);
    return 0;
}

/* The bytes so far are a part: sent, unless the store has the same already. */
static int end_part(objects_writer_t *self)
{
    unsigned char md5[DIGEST_MD5];
    if (self->part > OBJECTS_PARTS_MAX) {
        wire_say(&self->objects->wire, "%s/%.200s is larger than %d parts of objects.part_bytes",
                 self->upload.bucket, self->upload.key, OBJECTS_PARTS_MAX);
        return STATUS_TOO_LARGE;
    }
    int r = self->upload.id[0] ? 0 : open_upload(self);
    r = r ? r : digest_md5(slice_make(self->bytes, self->size), md5);
    struct part *part = r ? NULL : upload_part(&self->upload, self->part);
    if (!part)
        return r ? r : -ENOMEM;
    const bool same =
        part->there && part->bytes == self->size && memcmp(part->md5, md5, sizeof md5) == 0;
    part->bytes = self->size;
    part->there = same;
    memcpy(part->md5, md5, sizeof md5);
    if (same)
        watch_moved(&self->watch, self->size);
    else
        r = send_part(self);
    self->part++;
    self->size = 0;
    return r;
}

static int take(objects_writer_t *self, const char *bytes, size_t size)
{
    int r = digest_add(self->digest, slice_make(bytes, size));
    while (r == 0 && size > 0) {
        if (self->size == self->objects->part_bytes)
            r = end_part(self); /* only now: there is more than one */
        if (r)
            return r;
        const size_t room = self->objects->part_bytes - self->size;
        const size_t piece = size < room ? size : room;
        memcpy(self->bytes + self->size, bytes, piece);
        self->size += piece;
        self->total += piece;
        self->undriven += piece;
        bytes += piece;
        size -= piece;
        if (self->undriven >= DRIVEN_BYTES)
            r = drive(self, 0);
    }
    return r;
}

int objects_write(objects_writer_t *self, const void *bytes, size_t size)
{
    if (self->failed == 0)
        self->failed = take(self, bytes, size);
    return self->failed;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int put_whole(objects_writer_t *self, struct object_info *info)
{
    struct exchange *plain = self->objects->plain;
    unsigned char md5[DIGEST_MD5];
    bool opaque = false;
    const struct slice body = { self->bytes, self->size };
    const struct ask ask = { .method = "PUT",
                             .bucket = self->upload.bucket,
                             .key = self->upload.key,
                             .headers = { { "content-type", self->upload.content_type },
                                          { "x-amz-meta-sha256", info->sha256 } },
                             .body = body,
                             .sha256 = info->sha256 };
    int r = digest_md5(body, md5);
    r = r ? r : exchange_run(plain, &ask, &self->watch);
    r = r ? r : etag_check(self->objects, plain, md5, &opaque);
    if (r)
        return r;
    if (!opaque)
        digest_hex(md5, sizeof md5, info->etag);
    watch_moved(&self->watch, self->size);
    return 0;
}

static int put_rest(objects_writer_t *self, struct object_info *info)
{
    int r = end_part(self);
    while (r == 0 && any_under_way(self))
        r = drive(self, INT32_MAX);
    return r ? r : upload_complete(&self->upload, self->part - 1, &self->watch, info->etag);
}

static int finish(objects_writer_t *self, struct object_info *info)
{
    int r = self->failed;
    r = r ? r : digest_end(self->digest, info->sha256);
    if (r)
        return r;
    info->bytes = self->total;
    (void)slice_copy(slice_of(self->upload.content_type), info->content_type,
                     sizeof info->content_type);
    return self->upload.id[0] ? put_rest(self, info) : put_whole(self, info);
}

int objects_writer_end(objects_writer_t **self_p, struct object_info *ret_info)
{
    struct object_info info = { 0 };
    const int r = finish(*self_p, &info);
    writer_free(self_p);
    if (r == 0)
        *ret_info = info;
    return r;
}

void objects_writer_abort(objects_writer_t **self_p, bool keep)
{
    objects_writer_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->slots_count; i++)
        if (self->slots[i].exchange)
            exchange_drop(self->slots[i].exchange);
    if (!keep && self->upload.id[0])
        (void)upload_abort(&self->upload);
    writer_free(self_p);
}

/* ---- a file ---------------------------------------------------------------------------------- */

static int write_file(objects_writer_t *writer, int fd)
{
    scoped_text char *piece = malloc(FILE_PIECE);
    int r = piece ? 0 : -ENOMEM;
    while (r == 0) {
        const ssize_t got = read(fd, piece, FILE_PIECE);
        if (got == 0)
            break;
        if (got > 0)
            r = objects_write(writer, piece, (size_t)got);
        else if (errno != EINTR)
            r = -errno;
    }
    return r;
}

static int fits(objects_t *self, int fd)
{
    struct stat stat;
    if (fstat(fd, &stat))
        return -errno;
    if (!S_ISREG(stat.st_mode))
        return S_ISDIR(stat.st_mode) ? -EISDIR : -EINVAL;
    if ((uint64_t)stat.st_size / self->part_bytes < OBJECTS_PARTS_MAX)
        return 0;
    wire_say(&self->wire, "a file of %lld bytes is larger than %d parts of objects.part_bytes",
             (long long)stat.st_size, OBJECTS_PARTS_MAX);
    return STATUS_TOO_LARGE;
}

int objects_put_file(objects_t *self, const struct objects_put *put, const char *path,
                     struct object_info *ret_info)
{
    objects_writer_t *writer = NULL;
    wire_hush(&self->wire);
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = fits(self, fd);
    r = r ? r : objects_writer_new(self, put, &writer);
    if (r)
        return r;
    r = write_file(writer, fd);
    if (r)
        objects_writer_abort(&writer, true);
    return r ? r : objects_writer_end(&writer, ret_info);
}
