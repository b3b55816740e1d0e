/* /v1/files/uploads: uploads that can be gone on with (tus 1.0): begun, and their bytes. */
#include "services/front/files_tus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/paths.h"
#include "common/status.h"
#include "services/front/pool.h"
#include "services/front/upload.h"

/* ---- what all of them share ------------------------------------------------------------------ */

bool tus_begin(request_t *request)
{
    const char *version = request_header(request, "Tus-Resumable");
    request_set_header(request, "Tus-Resumable", TUS_VERSION);
    if (version && strcmp(version, TUS_VERSION) == 0)
        return true;
    request_set_header(request, "Tus-Version", TUS_VERSION);
    request_refuse(request, 412, 0, "Tus-Resumable: must be " TUS_VERSION);
    return false;
}

void tus_answer(request_t *request, int http)
{
    request_set_header(request, "Cache-Control", "no-store");
    request_answer(request, http, NULL);
}

bool tus_id(request_t *request, char ret_id[UPLOAD_ID_SIZE])
{
    const struct slice id = slice_of(request_part(request, "id"));
    const bool good = task_id_valid(id) && slice_copy(id, ret_id, UPLOAD_ID_SIZE);
    if (!good)
        request_refuse(request, 404, 0, "there is no such upload");
    return good;
}

void files_tus_options(request_t *request)
{
    request_set_header(request, "Tus-Resumable", TUS_VERSION);
    request_set_header(request, "Tus-Version", TUS_VERSION);
    request_set_header(request, "Tus-Extension", TUS_EXTENSIONS);
    request_set_header(request, "Tus-Checksum-Algorithm", TUS_CHECKSUMS);
    request_set_header(request, "Tus-Max-Size", "%" PRIu64, files_most(request_front(request)));
    tus_answer(request, 204);
}

/* ---- POST ------------------------------------------------------------------------------------ */

struct creation {
    struct pool_call call;
    request_t *request;
    struct front *front;
    struct upload_about about;
    int result;
};

static void run_create(void *arg)
{
    struct creation *self = arg;
    int file = -1;
    self->result = upload_disk_make(self->front->settings->storage_root, &self->about, &file);
    if (file >= 0)
        (void)close(file);
}

static void on_created(void *arg)
{
    struct creation *self = arg;
    if (self->result == -ENOSPC || self->result == -EDQUOT) {
        request_refuse(self->request, 503, FILES_DISK_AGAIN_MS, "the shared disk is full");
    } else if (self->result) {
        request_refuse_status(self->request, self->result, "", 0, "");
    } else {
        request_set_header(self->request, "Location", "/v1/files/uploads/%s", self->about.id);
        tus_answer(self->request, 201);
    }
    free(self);
}

/* One of Upload-Metadata, "" when it is not there. False: the request was refused. */
static bool metadata(request_t *request, const char *key, char *text, size_t size)
{
    char value[TUS_VALUE_MAX + 1];
    const char *header = request_header(request, "Upload-Metadata");
    const bool good = !tus_metadata_read(header ? header : "", key, value) &&
                      slice_copy(slice_of(value), text, size);
    if (!good)
        request_refuse(request, 400, 0, "Upload-Metadata: %s cannot be read", key);
    return good;
}

static bool read_size(request_t *request, uint64_t *ret_size)
{
    const char *length = request_header(request, "Upload-Length");
    const uint64_t most = files_most(request_front(request));
    uint64_t size = 0;
    char detail[256];
    if (!length || !tus_number_read(length, &size) || size == 0)
        request_refuse(request, 400, 0, "Upload-Length: must be the size in bytes, and not 0");
    else if (size > most)
        request_refuse(request, 413, 0, "the file is larger than %" PRIu64 " bytes", most);
    else if (!files_space(request_front(request), size, detail))
        request_refuse(request, 503, FILES_DISK_AGAIN_MS, "%s", detail);
    else
        *ret_size = size;
    return *ret_size != 0;
}

static bool read_type(request_t *request, char type[UPLOAD_TYPE_SIZE])
{
    if (!metadata(request, "content_type", type, UPLOAD_TYPE_SIZE))
        return false;
    if (!*type && !metadata(request, "filetype", type, UPLOAD_TYPE_SIZE)) /* as tus-js has it */
        return false;
    if (!files_type_good(type))
        (void)slice_copy(SLICE("application/octet-stream"), type, UPLOAD_TYPE_SIZE);
    return true;
}

/* Where the file shall be: file_path, else the filename. */
static bool read_place(request_t *request, struct upload_about *about)
{
    char bucket[OBJECTS_BUCKET_MAX + 1];
    if (!metadata(request, "file_path", about->file_path, sizeof about->file_path))
        return false;
    if (!*about->file_path &&
        !metadata(request, "filename", about->file_path, sizeof about->file_path))
        return false;
    if (!files_path(request, about->file_path) ||
        !metadata(request, "bucket", bucket, sizeof bucket))
        return false;
    const char *known = files_bucket(request, bucket);
    return known && slice_copy(slice_of(known), about->bucket, sizeof about->bucket);
}

void files_tus_create(request_t *request)
{
    struct upload_about about = { .resumable = true };
    if (!tus_begin(request) || !files_has_store(request) || !read_size(request, &about.size) ||
        !read_place(request, &about) || !read_type(request, about.content_type))
        return;
    struct creation *self = files_new_id(about.id) ? calloc(1, sizeof *self) : NULL;
    if (!self) {
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return;
    }
    *self =
        (struct creation){ .request = request, .front = request_front(request), .about = about };
    pool_begin(self->front, &self->call, run_create, on_created, self);
}

/* ---- PATCH ----------------------------------------------------------------------------------- */

struct patch {
    uint64_t offset;
    uint64_t length; /* UINT64_MAX: not known */
    struct tus_checksum checksum;
};

static bool opened(struct upload *upload)
{
    const struct patch *self = upload->own;
    const struct upload_about *about = &upload->about;
    upload->checksum = self->checksum;
    if (!about->resumable)
        upload_refuse(upload, 404, 0, "there is no such upload");
    else if (about->offset != self->offset)
        upload_refuse(upload, 409, 0, "Upload-Offset: %" PRIu64 " bytes are there, not %" PRIu64,
                      about->offset, self->offset);
    else if (self->length != UINT64_MAX && self->length > about->size - about->offset)
        upload_refuse(upload, 413, 0, "the upload has %" PRIu64 " bytes, this would be more",
                      about->size);
    return !upload->refused;
}

static size_t take(struct upload *upload, struct slice bytes)
{
    const struct upload_about *about = &upload->about;
    const size_t room = spool_room(&upload->spool);
    const struct slice taken = slice_make(bytes.data, bytes.size < room ? bytes.size : room);
    if (taken.size > about->size - about->offset)
        upload_refuse(upload, 413, 0, "the upload has %" PRIu64 " bytes, this is more",
                      about->size);
    else if (taken.size && upload_put(upload, taken))
        return taken.size;
    return upload->refused ? bytes.size : 0;
}

static bool whole(struct upload *upload)
{
    (void)upload;
    return true;
}

static void done(struct upload *upload, const struct gantry_stage *stage)
{
    request_t *request = upload_answer(upload);
    (void)stage;
    request_set_header(request, "Upload-Offset", "%" PRIu64, upload->about.offset);
    tus_answer(request, 204);
}

static const struct upload_kind kind = { opened, take, whole, done, free, false };

static bool read_checksum(request_t *request, struct tus_checksum *ret_checksum)
{
    const char *header = request_header(request, "Upload-Checksum");
    int r = header ? tus_checksum_read(header, ret_checksum) : 0;
    if (r)
        request_refuse(request, 400, 0, "Upload-Checksum: %s",
                       r == STATUS_UNSUPPORTED ? "must be of " TUS_CHECKSUMS : "cannot be read");
    return r == 0;
}

void files_tus_patch(request_t *request)
{
    struct upload_about about = { 0 };
    struct patch patch = { .length = request_length(request) };
    const char *offset = request_header(request, "Upload-Offset");
    if (!tus_begin(request) || !files_has_store(request) || !tus_id(request, about.id) ||
        !read_checksum(request, &patch.checksum))
        return;
    if (!offset || !tus_number_read(offset, &patch.offset)) {
        request_refuse(request, 400, 0, "Upload-Offset: must be a number of bytes");
        return;
    }
    struct patch *self = malloc(sizeof *self);
    if (!self) {
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return;
    }
    *self = patch;
    upload_begin(request, &kind, false, &about, self);
}
