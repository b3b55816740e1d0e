#include "common/objects/answer.h"
#include "common/objects/digest.h"
#include "common/objects/store.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE_KEYS = 1000, WAITS_MAX = 1000 };

/* Each page of a listing is taken from the exchange before it is walked: who is told of a row may
 * ask the store again. */
struct walk {
    objects_t *objects;
    const char *bucket, *prefix;
    const char *root;                   /* of the answer */
    struct sign_field mode, size_field; /* what makes it that listing */
    const char *next_name, *next_upload_name;
    answer_row_fn *each;
    void *arg;
    uint64_t rows;                                          /* of this page */
    char highest[ANSWER_TEXT_MAX], before[ANSWER_TEXT_MAX]; /* key: of this page, of those before */
};

static int on_row(void *arg, const struct answer_row *row)
{
    struct walk *self = arg;
    if (strncmp(row->key, self->prefix, strlen(self->prefix)) != 0) {
        wire_say(&self->objects->wire, "a listing of %s/%s names a key that is not beneath it",
                 self->bucket, self->prefix);
        return STATUS_MALFORMED; /* it might be deleted next */
    }
    self->rows++;
    if (strcmp(row->key, self->highest) > 0)
        memcpy(self->highest, row->key, sizeof row->key);
    return self->each(self->arg, row);
}

static int read_page(struct walk *self, struct answer_page *page)
{
    struct exchange *plain = self->objects->plain;
    char *body = plain->body;
    const struct slice xml = exchange_body(plain);
    plain->body = NULL;
    plain->body_size = 0;
    plain->body_room = 0;
    self->rows = 0;
    if (self->highest[0])
        memcpy(self->before, self->highest, sizeof self->before);
    self->highest[0] = '\0';
    wire_hush(&self->objects->wire);
    const int r = answer_read(self->root, xml, page, on_row, self);
    free(body);
    if (r == STATUS_MALFORMED && !objects_error(self->objects)[0])
        wire_say(&self->objects->wire, "a listing of %s/%s that cannot be read", self->bucket,
                 self->prefix);
    return r;
}

static int ask_page(struct walk *self, const struct answer_page *before)
{
    const bool later = before->next[0] != '\0';
    const bool within = later && self->next_upload_name && before->next_upload[0];
    struct ask ask = { .method = "GET", .bucket = self->bucket };
    size_t count = 0;
    ask.query[count++] = self->mode;
    ask.query[count++] = self->size_field;
    ask.query[count++] = (struct sign_field){ "encoding-type", "url" };
    ask.query[count++] = (struct sign_field){ "prefix", self->prefix };
    if (later)
        ask.query[count++] = (struct sign_field){ self->next_name, before->next };
    if (within)
        ask.query[count++] = (struct sign_field){ self->next_upload_name, before->next_upload };
    return exchange_run(self->objects->plain, &ask, NULL);
}

/* Keys come in the order of their bytes, so a page that has some goes beyond those before; of one
 * key there may be many uploads. *waits: pages in a row that did not. */
static bool goes_on(const struct walk *self, const struct answer_page *before,
                    const struct answer_page *page, size_t *waits)
{
    const bool again = strcmp(before->next, page->next) == 0 &&
                       strcmp(before->next_upload, page->next_upload) == 0;
    const int further = self->rows ? strcmp(self->highest, self->before) : 0;
    const bool may_wait = self->rows == 0 || self->next_upload_name;
    *waits = further > 0 ? 0 : *waits + 1;
    return page->next[0] && !again && (further > 0 || (further == 0 && may_wait)) &&
           *waits < WAITS_MAX;
}

static int walk(struct walk *self)
{
    struct answer_page pages[2] = { { .truncated = false } };
    struct answer_page *before = &pages[0];
    size_t waits = 0;
    for (;;) {
        struct answer_page *page = before == &pages[0] ? &pages[1] : &pages[0];
        int r = ask_page(self, before);
        r = r ? r : read_page(self, page);
        if (r || !page->truncated)
            return r;
        if (!goes_on(self, before, page, &waits))
            break;
        before = page;
    }
    wire_say(&self->objects->wire, "a listing of %s/%s that goes round in a circle", self->bucket,
             self->prefix);
    return STATUS_MALFORMED;
}

/* ---- objects --------------------------------------------------------------------------------- */

struct listing {
    objects_each_fn *each;
    void *arg;
};

static int tell_object(void *arg, const struct answer_row *row)
{
    const struct listing *self = arg;
    struct object_info info = { .bytes = row->bytes, .modified_ms = row->modified_ms };
    (void)slice_copy(slice_of(row->etag), info.etag, sizeof info.etag);
    return self->each(self->arg, row->key, &info);
}

static int walk_objects(objects_t *objects, const char *bucket, const char *prefix,
                        answer_row_fn *each, void *arg)
{
    struct walk self = { .objects = objects,
                         .bucket = bucket,
                         .prefix = prefix,
                         .root = "ListBucketResult",
                         .mode = { "list-type", "2" },
                         .size_field = { "max-keys", "1000" },
                         .next_name = "continuation-token",
                         .each = each,
                         .arg = arg };
    return walk(&self);
}

int objects_list(objects_t *self, const char *bucket, const char *prefix, objects_each_fn *each,
                 void *arg)
{
    struct listing listing = { each, arg };
    const int r = store_check(self, bucket, NULL);
    return r ? r : walk_objects(self, bucket, prefix, tell_object, &listing);
}

/* ---- deletes --------------------------------------------------------------------------------- */

struct deletes {
    objects_t *objects;
    const char *bucket;
    uint64_t done;
    size_t count; /* of keys in body */
    FILE *out;
    char *body;
    size_t size;
};

static void write_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("<>&\"'", *text) || (unsigned char)*text < ' ')
            (void)fprintf(out, "&#%d;", (unsigned char)*text);
        else
            (void)putc(*text, out);
    }
}

static int on_refused(void *arg, const struct answer_row *row)
{
    struct deletes *self = arg;
    if (strcmp(row->code, "NoSuchKey") == 0)
        return 0;
    wire_say(&self->objects->wire, "%s/%.200s is not deleted: %s", self->bucket, row->key,
             row->code);
    return strcmp(row->code, "AccessDenied") == 0 ? STATUS_DENIED : STATUS_UNAVAILABLE;
}

static int ask_delete(struct deletes *self)
{
    unsigned char md5[DIGEST_MD5];
    char coded[DIGEST_MD5_BASE64];
    struct answer_page page;
    struct exchange *plain = self->objects->plain;
    const struct slice body = { self->body, self->size };
    int r = digest_md5(body, md5);
    if (r)
        return r;
    (void)EVP_EncodeBlock((unsigned char *)coded, md5, sizeof md5);
    const struct ask ask = { .method = "POST",
                             .bucket = self->bucket,
                             .query = { { "delete", "" } },
                             .headers = { { "content-md5", coded },
                                          { "content-type", "application/xml" } },
                             .body = body,
                             .late = true };
    r = exchange_run(plain, &ask, NULL);
    return r ? r : answer_read("DeleteResult", exchange_body(plain), &page, on_refused, self);
}

static int flush(struct deletes *self)
{
    int r = 0;
    if (self->count == 0)
        return 0;
    (void)fputs("</Delete>", self->out);
    r = fclose(self->out) ? -ENOMEM : 0;
    self->out = NULL;
    r = r ? r : ask_delete(self);
    free(self->body);
    self->body = NULL;
    self->done += r == 0 ? self->count : 0;
    self->count = 0;
    return r;
}

static int add_key(void *arg, const struct answer_row *row)
{
    struct deletes *self = arg;
    if (!self->out) {
        self->out = open_memstream(&self->body, &self->size);
        if (!self->out)
            return -ENOMEM;
        (void)fputs("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>",
                    self->out);
    }
    (void)fputs("<Object><Key>", self->out);
    write_escaped(self->out, row->key);
    (void)fputs("</Key></Object>", self->out);
    self->count++;
    return self->count == PAGE_KEYS ? flush(self) : 0;
}

static void forget(struct deletes *self)
{
    if (self->out)
        (void)fclose(self->out);
    free(self->body);
}

/* ---- unfinished uploads ---------------------------------------------------------------------- */

static int abort_upload(void *arg, const struct answer_row *row)
{
    struct deletes *self = arg;
    const struct ask ask = { .method = "DELETE",
                             .bucket = self->bucket,
                             .key = row->key,
                             .query = { { "uploadId", row->upload } } };
    const int r = exchange_run(self->objects->plain, &ask, NULL);
    return r == STATUS_NOT_FOUND ? 0 : r;
}

static int walk_uploads(objects_t *objects, const char *bucket, const char *prefix,
                        answer_row_fn *each, void *arg)
{
    struct walk uploads = { .objects = objects,
                            .bucket = bucket,
                            .prefix = prefix,
                            .root = "ListMultipartUploadsResult",
                            .mode = { "uploads", "" },
                            .size_field = { "max-uploads", "1000" },
                            .next_name = "key-marker",
                            .next_upload_name = "upload-id-marker",
                            .each = each,
                            .arg = arg };
    return walk(&uploads);
}

struct unfinished {
    const char *key;
    char *upload;
};

static int keep_upload(void *arg, const struct answer_row *row)
{
    const struct unfinished *self = arg;
    if (strcmp(row->key, self->key) == 0)
        (void)slice_copy(slice_of(row->upload), self->upload, OBJECTS_UPLOAD_MAX);
    return 0;
}

int objects_unfinished(objects_t *self, const char *bucket, const char *key,
                       char ret_upload[OBJECTS_UPLOAD_MAX])
{
    char upload[OBJECTS_UPLOAD_MAX] = "";
    struct unfinished found = { key, upload };
    int r = store_check(self, bucket, key);
    r = r ? r : walk_uploads(self, bucket, key, keep_upload, &found);
    if (r == 0 && !upload[0])
        r = STATUS_NOT_FOUND;
    if (r == 0)
        memcpy(ret_upload, upload, sizeof upload);
    return r;
}

int objects_delete_prefix(objects_t *self, const char *bucket, const char *prefix,
                          uint64_t *ret_count)
{
    struct deletes deletes = { .objects = self, .bucket = bucket };
    int r = store_check(self, bucket, NULL);
    if (r == 0 && !prefix[0]) {
        wire_say(&self->wire, "an empty prefix would be the whole bucket");
        r = STATUS_INVALID;
    }
    r = r ? r : walk_objects(self, bucket, prefix, add_key, &deletes);
    r = r ? r : flush(&deletes);
    forget(&deletes);
    r = r ? r : walk_uploads(self, bucket, prefix, abort_upload, &deletes);
    if (r == 0)
        *ret_count = deletes.done;
    return r;
}
