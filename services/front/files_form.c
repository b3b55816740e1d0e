/* POST /v1/files/upload: a form with a file, its path and its bucket. */
#include "common/clock.h"
#include "proto/mint.h"
#include "services/front/multipart.h"
#include "services/front/tasks.h"
#include "services/front/upload.h"

#include <errno.h>
#include <stdlib.h>

enum { FIELD_NONE, FIELD_FILE, FIELD_PATH, FIELD_BUCKET };

struct form {
    struct multipart multipart;
    int field; /* of the part that comes */
    bool file; /* there was one */
    size_t path_size, bucket_size;
    char path[OBJECTS_KEY_MAX + 2]; /* one byte more than it may have */
    char bucket[OBJECTS_BUCKET_MAX + 2];
    char type[128];
};

static bool on_part(struct upload *upload, struct form *self)
{
    static const char *const names[] = { "", "file", "file_path", "bucket" };
    const char *name = self->multipart.name;
    self->field = FIELD_BUCKET;
    while (self->field && strcmp(names[self->field], name) != 0)
        self->field--;
    const bool twice = (self->field == FIELD_FILE && self->file) ||
                       (self->field == FIELD_PATH && self->path_size) ||
                       (self->field == FIELD_BUCKET && self->bucket_size);
    if (twice) {
        upload_refuse(upload, 400, 0, "%s is given twice", name);
        return false;
    }
    if (self->field == FIELD_FILE) {
        self->file = true;
        (void)slice_copy(slice_of(self->multipart.type), self->type, sizeof self->type);
    }
    return true;
}

/* What is too long is kept so far that this shows. */
static void append(char *text, size_t room, size_t *size, struct slice bytes)
{
    const size_t left = room - 1 - *size;
    const size_t more = bytes.size < left ? bytes.size : left;
    memcpy(text + *size, bytes.data, more);
    *size += more;
}

static bool on_data(struct upload *upload, struct form *self, struct slice bytes)
{
    const uint64_t most = files_most(upload->front);
    if (self->field == FIELD_PATH)
        append(self->path, sizeof self->path, &self->path_size, bytes);
    if (self->field == FIELD_BUCKET)
        append(self->bucket, sizeof self->bucket, &self->bucket_size, bytes);
    if (self->field != FIELD_FILE)
        return true;
    if (bytes.size > most - upload->came) {
        upload_refuse(upload, 413, 0, "the file is larger than %llu bytes",
                      (unsigned long long)most);
        return false;
    }
    return upload_put(upload, bytes);
}

static size_t take(struct upload *upload, struct slice bytes)
{
    struct form *self = upload->own;
    struct slice left = bytes, data = { 0 };
    bool good = true;
    while (good && left.size && spool_room(&upload->spool)) {
        const enum multipart_event event =
            multipart_next(&self->multipart, &left, spool_room(&upload->spool), &data);
        if (event == MULTIPART_PART)
            good = on_part(upload, self);
        else if (event == MULTIPART_DATA)
            good = on_data(upload, self, data);
        else if (event == MULTIPART_WRONG)
            good = false;
        if (event == MULTIPART_WRONG)
            upload_refuse(upload, 400, 0, "%s", self->multipart.wrong);
    }
    return good ? bytes.size - left.size : bytes.size;
}

/* NULL, or what is wrong. */
static const char *check(struct upload *upload, const struct form *self)
{
    if (!multipart_whole(&self->multipart))
        return "the body ends before its last boundary";
    if (!self->file)
        return "there is no file";
    if (!upload->came)
        return "the file is empty";
    if (!self->path_size)
        return "there is no file_path";
    return NULL;
}

static bool whole(struct upload *upload)
{
    struct form *self = upload->own;
    const char *wrong = check(upload, self);
    const char *bucket = files_bucket_of(upload->front, self->bucket);
    if (wrong)
        upload_refuse(upload, 400, 0, "%s", wrong);
    else if (!bucket || strlen(self->bucket) != self->bucket_size)
        upload_refuse(upload, 400, 0, "bucket: %.100s is none of this service's", self->bucket);
    else if (strlen(self->path) != self->path_size || !files_path_good(self->path))
        upload_refuse(upload, 400, 0, FILES_PATH_RULE);
    if (upload->refused)
        return false;
    struct upload_about *about = &upload->about;
    about->size = about->offset;
    (void)slice_copy(slice_of(self->path), about->file_path, sizeof about->file_path);
    (void)slice_copy(slice_of(bucket), about->bucket, sizeof about->bucket);
    (void)slice_copy(
        slice_of(files_type_good(self->type) ? self->type : "application/octet-stream"),
        about->content_type, sizeof about->content_type);
    return true;
}

static bool opened(struct upload *upload)
{
    (void)upload;
    return true;
}

static void done(struct upload *upload, const struct gantry_stage *stage)
{
    const struct upload_about *about = &upload->about;
    char url[OBJECTS_URL_MAX], sum[65] = "";
    files_link(upload->front, about->bucket, about->file_path, url);
    (void)push_output(stage, "sha256", sum, sizeof sum);
    request_answer(upload_answer(upload), 200,
                   json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:s, s:s}", "file_path",
                             about->file_path, "bucket", about->bucket, "download_url", url, "size",
                             (json_int_t)about->size, "uploaded_at", ask_time(), "content_type",
                             about->content_type, "sha256", sum, "task_id", about->id));
}

static const struct upload_kind kind = { opened, take, whole, done, free, true };

void files_upload(request_t *request)
{
    const char *type = request_header(request, "Content-Type");
    struct form *self = NULL;
    char detail[256];
    struct upload_about about = { 0 };
    const uint64_t length = request_length(request) == UINT64_MAX ? 0 : request_length(request);
    if (!files_has_store(request) || !files_has_broker(request))
        return;
    if (!files_space(request_front(request), length, detail)) {
        request_refuse(request, 503, FILES_DISK_AGAIN_MS, "%s", detail);
        return;
    }
    if (!files_new_id(about.id) || !(self = calloc(1, sizeof *self))) {
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return;
    }
    if (!multipart_init(&self->multipart, type ? type : "")) {
        free(self);
        request_refuse(request, 400, 0, "the body's Content-Type names no boundary");
        return;
    }
    upload_begin(request, &kind, true, &about, self);
}
