/* /v1/files/uploads/{id}: how far an upload is, and its end before its time. */
#include "services/front/files_tus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/status.h"
#include "proto/client.h"
#include "proto/context.h"
#include "services/front/pool.h"
#include "services/front/tasks.h"
#include "services/front/upload.h"

/* A question to the disk. */
struct look {
    struct pool_call call;
    request_t *request;
    struct front *front;
    struct upload_about about;
    int result;
    void (*known)(struct look *self);
};

static void refuse(struct look *self)
{
    if (self->result == STATUS_NOT_FOUND)
        request_refuse(self->request, 404, 0, "there is no such upload");
    else if (self->result == STATUS_BUSY)
        request_refuse(self->request, 423, FILES_AGAIN_MS, "a request writes to this upload");
    else
        request_refuse_status(self->request, self->result, "", 0, "");
    free(self);
}

static void run_look(void *arg)
{
    struct look *self = arg;
    char id[UPLOAD_ID_SIZE];
    memcpy(id, self->about.id, sizeof id);
    self->result = upload_disk_look(self->front->settings->storage_root, id, &self->about);
}

static void on_looked(void *arg)
{
    struct look *self = arg;
    if (self->result)
        refuse(self);
    else
        self->known(self);
}

static void begin(request_t *request, void (*run)(void *arg), void (*known)(struct look *self))
{
    struct look *self = calloc(1, sizeof *self);
    if (!self) {
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return;
    }
    self->request = request;
    self->front = request_front(request);
    self->known = known;
    if (tus_id(request, self->about.id))
        pool_begin(self->front, &self->call, run, on_looked, self);
    else
        free(self);
}

/* ---- one that is whole, but whose task nobody has submitted: who asks has it done --------------
 */

static bool opened(struct upload *upload)
{
    const struct upload_about *about = &upload->about;
    if (about->resumable && about->offset == about->size)
        return true;
    upload_refuse(upload, 423, FILES_AGAIN_MS, "another request writes to this upload");
    return false;
}

static void tell_offset(request_t *request, const struct upload_about *about)
{
    request_set_header(request, "Upload-Offset", "%" PRIu64, about->offset);
    request_set_header(request, "Upload-Length", "%" PRIu64, about->size);
    tus_answer(request, 200);
}

static void pushed_head(struct upload *upload, const struct gantry_stage *stage)
{
    (void)stage;
    tell_offset(upload_answer(upload), &upload->about);
}

static const struct upload_kind push_for_head = { opened, NULL, NULL, pushed_head, free, false };

static bool wants_push(const struct look *self)
{
    return self->about.resumable && !self->about.submitted &&
           self->about.offset == self->about.size;
}

/* ---- HEAD ------------------------------------------------------------------------------------ */

static void on_head(struct look *self)
{
    if (!self->about.resumable)
        request_refuse(self->request, 404, 0, "there is no such upload");
    else if (wants_push(self))
        upload_begin(self->request, &push_for_head, false, &self->about, NULL);
    else
        tell_offset(self->request, &self->about);
    free(self);
}

void files_tus_head(request_t *request)
{
    if (tus_begin(request))
        begin(request, run_look, on_head);
}

/* ---- GET ------------------------------------------------------------------------------------- */

static json_t *progress_of(const struct upload_about *about, const char *status, double progress)
{
    return json_pack("{s:s, s:I, s:I, s:s, s:f, s:s, s:s}", "upload_id", about->id, "offset",
                     (json_int_t)about->offset, "size", (json_int_t)about->size, "status", status,
                     "progress", progress, "file_path", about->file_path, "bucket", about->bucket);
}

static void tell_stage(const struct look *self, const struct gantry_stage *stage)
{
    const bool good = strcmp(stage->state, "completed") == 0;
    const bool over = context_is_final(context_status(stage->state));
    json_t *body = progress_of(&self->about,
                               good   ? "completed"
                               : over ? "failed"
                                      : "storing",
                               good ? 1.0 : stage->progress);
    if (good) {
        char url[OBJECTS_URL_MAX], sum[65] = "";
        files_link(self->front, self->about.bucket, self->about.file_path, url);
        (void)push_output(stage, "sha256", sum, sizeof sum);
        (void)json_object_set_new(body, "download_url", json_string(url));
        (void)json_object_set_new(body, "sha256", json_string(sum));
    }
    if (over && !good)
        (void)json_object_set_new(
            body, "detail",
            json_string(*stage->error_message ? stage->error_message : "its task was ended"));
    request_answer(self->request, 200, body);
}

static void on_record(void *arg, int status, struct gantry_bytes bytes)
{
    struct look *self = arg;
    gantry_record_t *record = NULL;
    if (status == 0)
        status = record_new(slice_make(bytes.data, bytes.size), &record);
    const struct gantry_stage *stage = status == 0 ? gantry_record_find(record, UPLOAD_TASK) : NULL;
    if (stage)
        tell_stage(self, stage);
    else if (status == 0 || status == STATUS_NOT_FOUND)
        request_refuse(self->request, 404, 0, "there is no such upload");
    else
        request_refuse_status(self->request, status, "", 0, "");
    gantry_record_destroy(&record);
    free(self);
}

static void look_up(struct look *self)
{
    const struct m_ref ref = { .id = slice_of(self->about.id) };
    const struct question question = { VERB_GET, &m_ref_layout, &ref,
                                       self->front->settings->front_answer_ms };
    int r = self->front->client ? question_put(self->front, &question, on_record, self)
                                : STATUS_UNAVAILABLE;
    if (r == 0)
        return;
    request_refuse_status(self->request, r, "", 0, "");
    free(self);
}

static void pushed_get(struct upload *upload, const struct gantry_stage *stage)
{
    (void)stage;
    request_answer(upload_answer(upload), 200, progress_of(&upload->about, "storing", 0));
}

static const struct upload_kind push_for_get = { opened, NULL, NULL, pushed_get, free, false };

static void on_get(struct look *self)
{
    const struct upload_about *about = &self->about;
    if (about->submitted) {
        look_up(self);
        return;
    }
    if (!about->resumable)
        request_refuse(self->request, 404, 0, "there is no such upload");
    else if (wants_push(self))
        upload_begin(self->request, &push_for_get, false, about, NULL);
    else
        request_answer(
            self->request, 200,
            progress_of(about, "uploading", (double)about->offset / (double)about->size));
    free(self);
}

void files_tus_progress(request_t *request)
{
    begin(request, run_look, on_get);
}

/* ---- DELETE ---------------------------------------------------------------------------------- */

static void run_delete(void *arg)
{
    struct look *self = arg;
    int file = -1;
    char id[UPLOAD_ID_SIZE];
    const char *root = self->front->settings->storage_root;
    memcpy(id, self->about.id, sizeof id);
    self->result = upload_disk_open(root, id, &self->about, &file);
    if (self->result == 0 && !self->about.resumable)
        self->result = STATUS_NOT_FOUND;
    if (self->result == 0)
        self->result = upload_disk_remove(root, id);
    if (file >= 0)
        (void)close(file);
}

static void on_deleted(struct look *self)
{
    tus_answer(self->request, 204);
    free(self);
}

/* A file of the store may have such a path too. */
void files_tus_delete(request_t *request)
{
    if (!request_header(request, "Tus-Resumable"))
        files_delete(request);
    else if (tus_begin(request))
        begin(request, run_delete, on_deleted);
}
