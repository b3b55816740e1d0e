#include "common/objects/upload.h"

#include "common/objects/answer.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void upload_clear(struct upload *self)
{
    free(self->parts);
    *self = (struct upload){ 0 };
}

struct part *upload_part(struct upload *self, uint32_t number)
{
    size_t room = self->room ? self->room : 16;
    while (room < number)
        room *= 2;
    if (room > self->room) {
        struct part *larger = realloc(self->parts, room * sizeof *larger);
        if (!larger)
            return NULL;
        memset(larger + self->room, 0, (room - self->room) * sizeof *larger);
        self->parts = larger;
        self->room = room;
    }
    return &self->parts[number - 1];
}

int etag_check(objects_t *objects, const struct exchange *answered,
               const unsigned char md5[DIGEST_MD5], bool *opaque)
{
    char text[OBJECTS_ETAG_MAX];
    char etag[OBJECTS_ETAG_MAX];
    char hex[DIGEST_MD5_HEX];
    exchange_header(answered, "ETag", text, sizeof text);
    answer_etag(text, etag);
    digest_hex(md5, DIGEST_MD5, hex);
    if (strcmp(etag, hex) == 0)
        return 0;
    exchange_header(answered, "x-amz-server-side-encryption", text, sizeof text);
    if (text[0] && etag[0]) {
        *opaque = true;
        return 0;
    }
    wire_say(&objects->wire,
             "the store has other bytes than it was sent: etag \"%.64s\", not \"%s\"", etag, hex);
    return STATUS_CONFLICT;
}

/* ---- its beginning --------------------------------------------------------------------------- */

static int begin(struct upload *self, const struct objects_watch *watch)
{
    struct exchange *plain = self->objects->plain;
    struct answer_page page;
    const struct ask ask = { .method = "POST",
                             .bucket = self->bucket,
                             .key = self->key,
                             .query = { { "uploads", "" } },
                             .headers = { { "content-type", self->content_type } } };
    int r = exchange_run(plain, &ask, watch);
    r = r ? r
          : answer_read("InitiateMultipartUploadResult", exchange_body(plain), &page, NULL, NULL);
    if (r == 0 && !page.upload[0])
        r = STATUS_MALFORMED;
    if (r == STATUS_MALFORMED)
        wire_say(&self->objects->wire, "the store began an upload without telling its id");
    if (r == 0)
        (void)snprintf(self->id, sizeof self->id, "%s", page.upload);
    return r;
}

static int on_part(void *arg, const struct answer_row *row)
{
    struct upload *self = arg;
    if (row->part == 0)
        return STATUS_MALFORMED;
    struct part *part = upload_part(self, row->part);
    if (!part)
        return -ENOMEM;
    part->bytes = row->bytes;
    (void)snprintf(part->etag, sizeof part->etag, "%s", row->etag);
    part->there = strlen(row->etag) == DIGEST_MD5_HEX - 1 &&
                  digest_unhex(row->etag, part->md5, sizeof part->md5);
    return 0;
}

static int find_parts(struct upload *self, const struct objects_watch *watch)
{
    char marker[ANSWER_TEXT_MAX] = "";
    struct answer_page page = { 0 };
    int r = 0;
    for (int pages = 0; r == 0 && pages < OBJECTS_PARTS_MAX; pages++) {
        struct ask ask = { .method = "GET",
                           .bucket = self->bucket,
                           .key = self->key,
                           .query = { { "uploadId", self->id } } };
        if (marker[0])
            ask.query[1] = (struct sign_field){ "part-number-marker", marker };
        r = exchange_run(self->objects->plain, &ask, watch);
        r = r ? r
              : answer_read("ListPartsResult", exchange_body(self->objects->plain), &page, on_part,
                            self);
        if (r || !page.truncated || strcmp(marker, page.next) == 0)
            break;
        (void)snprintf(marker, sizeof marker, "%s", page.next);
    }
    return r;
}

int upload_open(struct upload *self, const char *resume, const struct objects_watch *watch)
{
    int r = STATUS_NOT_FOUND;
    if (resume[0] && strlen(resume) < sizeof self->id) {
        (void)snprintf(self->id, sizeof self->id, "%s", resume);
        r = find_parts(self, watch);
    }
    return r == STATUS_NOT_FOUND || r == STATUS_INVALID ? begin(self, watch) : r;
}

/* ---- its parts ------------------------------------------------------------------------------- */

struct ask upload_ask(const struct upload *self, char text[16], uint32_t number)
{
    (void)snprintf(text, 16, "%u", number);
    return (struct ask){ .method = "PUT",
                         .bucket = self->bucket,
                         .key = self->key,
                         .query = { { "partNumber", text }, { "uploadId", self->id } } };
}

/* ---- its end --------------------------------------------------------------------------------- */

static int write_parts(const struct upload *self, uint32_t count, char **ret_text, size_t *ret_size)
{
    FILE *out = open_memstream(ret_text, ret_size);
    if (!out)
        return -ENOMEM;
    (void)fputs("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", out);
    for (uint32_t i = 0; i < count; i++)
        (void)fprintf(out, "<Part><PartNumber>%u</PartNumber><ETag>\"%s\"</ETag></Part>", i + 1,
                      self->parts[i].etag);
    (void)fputs("</CompleteMultipartUpload>", out);
    return fclose(out) ? -ENOMEM : 0;
}

/* As S3 does: the MD5 of all the parts' MD5s, and how many there are. */
static int etag_of_parts(const struct upload *self, uint32_t count, char ret_etag[OBJECTS_ETAG_MAX])
{
    unsigned char md5[DIGEST_MD5];
    char hex[DIGEST_MD5_HEX];
    unsigned char *all = malloc((size_t)count * DIGEST_MD5);
    if (!all)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        memcpy(all + (size_t)i * DIGEST_MD5, self->parts[i].md5, DIGEST_MD5);
    const int r = digest_md5(slice_make(all, (size_t)count * DIGEST_MD5), md5);
    free(all);
    if (r)
        return r;
    digest_hex(md5, sizeof md5, hex);
    (void)snprintf(ret_etag, OBJECTS_ETAG_MAX, "%s-%u", hex, count);
    return 0;
}

static int check_etag(struct upload *self, const char *etag, const char *wanted)
{
    if (self->opaque || strcmp(etag, wanted) == 0)
        return 0;
    wire_say(&self->objects->wire,
             "the store made something else of the parts: etag \"%.64s\", not \"%s\"", etag,
             wanted);
    return STATUS_CONFLICT;
}

/* An upload that is gone when it is to be completed may be gone because an earlier try, whose
 * answer was lost, completed it. */
static int look_whether_done(struct upload *self, const char *wanted,
                             char ret_etag[OBJECTS_ETAG_MAX])
{
    char said[WIRE_ERROR];
    struct object_info info;
    char link[WIRE_LINK];
    memcpy(link, self->objects->wire.link, sizeof link);
    (void)snprintf(said, sizeof said, "%s", objects_error(self->objects));
    const int r = objects_head(self->objects, self->bucket, self->key, &info);
    if (r == 0 && strcmp(info.etag, wanted) == 0) {
        (void)snprintf(ret_etag, OBJECTS_ETAG_MAX, "%s", wanted);
        return 0;
    }
    wire_say(&self->objects->wire, "%s", said);
    memcpy(self->objects->wire.link, link, sizeof link);
    return r == 0 ? STATUS_NOT_FOUND : r;
}

int upload_complete(struct upload *self, uint32_t count, const struct objects_watch *watch,
                    char ret_etag[OBJECTS_ETAG_MAX])
{
    struct exchange *plain = self->objects->plain;
    struct answer_page page;
    char wanted[OBJECTS_ETAG_MAX];
    scoped_text char *body = NULL;
    size_t size = 0;
    int r = etag_of_parts(self, count, wanted);
    r = r ? r : write_parts(self, count, &body, &size);
    if (r)
        return r;
    const struct ask ask = { .method = "POST",
                             .bucket = self->bucket,
                             .key = self->key,
                             .query = { { "uploadId", self->id } },
                             .headers = { { "content-type", "application/xml" } },
                             .body = { body, size },
                             .late = true };
    r = exchange_run(plain, &ask, watch);
    if (r == STATUS_NOT_FOUND)
        return look_whether_done(self, wanted, ret_etag);
    r = r ? r
          : answer_read("CompleteMultipartUploadResult", exchange_body(plain), &page, NULL, NULL);
    r = r ? r : check_etag(self, page.etag, wanted);
    if (r == 0)
        (void)snprintf(ret_etag, OBJECTS_ETAG_MAX, "%s", self->opaque ? page.etag : wanted);
    return r;
}

int upload_abort(struct upload *self)
{
    const struct ask ask = { .method = "DELETE",
                             .bucket = self->bucket,
                             .key = self->key,
                             .query = { { "uploadId", self->id } },
                             .tries = 2 };
    const int r = exchange_run(self->objects->plain, &ask, NULL);
    return r == STATUS_NOT_FOUND ? 0 : r;
}
