#include "services/front/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/objects/objects_settings.h"
#include "common/status.h"
#include "proto/mint.h"
#include "services/front/download.h"
#include "services/front/route.h"
#include "services/front/upload_disk.h"

enum { LOOK_MS = 1000, SWEEP_MS = 3600000, THREADS = 16 };

/* ---- bounds ---------------------------------------------------------------------------------- */

bool files_has_store(request_t *request)
{
    const struct files *self = request_front(request)->files;
    if (self->objects)
        return true;
    request_refuse(request, 503, 0, "%s", self->why);
    return false;
}

bool files_has_broker(request_t *request)
{
    const char *away = gantry_client_away(request_front(request)->client);
    if (away)
        request_refuse(request, 503, FILES_AGAIN_MS, "%s", *away ? away : "no broker answers");
    return !away;
}

bool files_enter(request_t *request)
{
    struct front *front = request_front(request);
    if (front->files->transfers < (size_t)front->settings->front_uploads_max) {
        front->files->transfers++;
        return true;
    }
    request_refuse(request, 503, FILES_AGAIN_MS,
                   "%lld uploads and downloads are under way, more are not begun",
                   (long long)front->settings->front_uploads_max);
    return false;
}

void files_leave(struct front *front)
{
    front->files->transfers--;
}

bool files_space(struct front *front, uint64_t wanted, char detail[256])
{
    const struct files *self = front->files;
    const uint64_t low = (uint64_t)front->settings->storage_low_bytes;
    if (self->space.available >= wanted && self->space.available - wanted >= low)
        return true;
    (void)snprintf(detail, 256,
                   "the shared disk has %llu bytes left; %llu more would leave less than "
                   "storage.low_bytes, %llu",
                   (unsigned long long)self->space.available, (unsigned long long)wanted,
                   (unsigned long long)low);
    return false;
}

uint64_t files_most(const struct front *front)
{
    const uint64_t most = (uint64_t)front->settings->front_upload_bytes;
    const uint64_t quota = (uint64_t)front->settings->quota_task_bytes;
    return quota && quota < most ? quota : most;
}

/* ---- names ----------------------------------------------------------------------------------- */

const char *files_bucket_of(const struct front *front, const char *given)
{
    const char *first = front->settings->objects_bucket;
    if (!given || !*given || strcmp(given, first) == 0)
        return first;
    const bool good = objects_bucket_allowed(front->settings, given) && objects_bucket_valid(given);
    return good ? given : NULL;
}

const char *files_bucket(request_t *request, const char *given)
{
    const char *bucket = files_bucket_of(request_front(request), given);
    if (!bucket)
        request_refuse(request, 400, 0, "bucket: %.100s is none of this service's", given);
    return bucket;
}

bool files_path_good(const char *path)
{
    return objects_key_valid(path) && !strchr(path, '\\') && path[strlen(path) - 1] != '/';
}

bool files_path(request_t *request, const char *path)
{
    const bool good = files_path_good(path);
    if (!good)
        request_refuse(request, 400, 0, FILES_PATH_RULE);
    return good;
}

bool files_type_good(const char *type)
{
    for (const char *c = type; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return *type;
}

bool files_new_id(char ret_id[UPLOAD_ID_SIZE])
{
    uint8_t bytes[MINT_UUID_SIZE];
    if (mint_bytes(bytes, sizeof bytes))
        return false;
    mint_uuid(bytes, ret_id);
    return true;
}

void files_link(const struct front *front, const char *bucket, const char *path,
                char ret_url[OBJECTS_URL_MAX])
{
    const struct files *self = front->files;
    const struct objects_link link = { .method = "GET",
                                       .endpoint = front->settings->objects_public_endpoint,
                                       .bucket = bucket,
                                       .key = path,
                                       .seconds = FILES_LINK_SECONDS };
    if (!self->objects || objects_presign(self->objects, &link, ret_url))
        ret_url[0] = '\0';
}

/* ---- the shared disk: its space, and uploads that nobody comes back for -----------------------
 */

/* In a thread, as a disk over the network may not answer for long. */
static void run_look(void *arg)
{
    struct files *self = arg;
    if (storage_space(self->front->settings->storage_root, &self->seen))
        self->seen = (struct storage_space){ UINT64_MAX, UINT64_MAX }; /* writes will tell */
}

static void on_looked(void *arg)
{
    struct files *self = arg;
    self->space = self->seen;
    self->looking = false;
}

static void run_sweep(void *arg)
{
    struct files *self = arg;
    const struct settings *settings = self->front->settings;
    self->swept = 0;
    (void)upload_disk_sweep(settings->storage_root, settings->front_upload_ms, &self->swept);
}

static void on_swept(void *arg)
{
    struct files *self = arg;
    if (self->swept)
        log_event(LOG_LEVEL_INFO, "uploads_expired", "count=%llu", (unsigned long long)self->swept);
    self->sweeping = false;
}

static void on_tick(uv_timer_t *timer)
{
    struct files *self = timer->data;
    if (!self->looking) {
        self->looking = true;
        pool_begin(self->front, &self->look, run_look, on_looked, self);
    }
    if (!self->sweeping && clock_ms() >= self->sweep_ms) {
        self->sweeping = true;
        self->sweep_ms = clock_ms() + SWEEP_MS;
        pool_begin(self->front, &self->sweep, run_sweep, on_swept, self);
    }
}

/* ---- its life -------------------------------------------------------------------------------- */

int files_new(struct front *front, struct files **ret_files)
{
    struct files *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    pool_size(THREADS);
    self->front = front;
    (void)uv_timer_init(front->loop, &self->tick);
    self->tick.data = self;
    link_init(&self->downloads);
    self->curl = curl_loop_new(front->loop, download_ended);
    int r = self->curl ? objects_of_settings(front->settings, &self->objects, self->why) : -ENOMEM;
    if (r == STATUS_UNSUPPORTED) {
        (void)snprintf(self->why, sizeof self->why, "%s",
                       "no object store is configured: set objects.endpoint");
    } else if (r) {
        log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", r > 0 ? self->why : strerror(-r));
        curl_loop_destroy(&self->curl);
        files_destroy(&self);
        return r > 0 ? -EINVAL : r;
    }
    run_look(self); /* nobody waits yet */
    self->space = self->seen;
    (void)uv_timer_start(&self->tick, on_tick, 0, LOOK_MS);
    *ret_files = self;
    return 0;
}

void files_stop(struct files *self)
{
    downloads_stop(self);
    curl_loop_destroy(&self->curl);
    (void)uv_timer_stop(&self->tick);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void files_destroy(struct files **self_p)
{
    struct files *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    objects_destroy(&self->objects);
    uv_close((uv_handle_t *)&self->tick, on_closed);
}

#define UPLOADS "/v1/files/uploads"
const struct route routes_files[] = {
    {
        .method = "POST",
        .path = "/v1/files/upload",
        .summary =
            "a file into the store: multipart fields file, file_path and bucket, in any order",
        .handle = files_upload,
        .streamed = true,
        .body = "FileUpload",
        .body_type = "multipart/form-data",
        .answer = "FileStored",
        .answers = { 400, 413, 415, 500, 503 },
    },
    {
        .method = "OPTIONS",
        .path = UPLOADS,
        .summary = "what of tus 1.0 is offered, and how large an upload may be",
        .handle = files_tus_options,
        .answer_type = "",
        .success = 204,
    },
    {
        .method = "POST",
        .path = UPLOADS,
        .summary = "begin a resumable upload (tus 1.0): Upload-Length; Upload-Metadata with "
                   "file_path, bucket, content_type",
        .handle = files_tus_create,
        .answer_type = "",
        .success = 201,
        .answers = { 400, 412, 413, 503 },
    },
    {
        .method = "HEAD",
        .path = UPLOADS "/{id}",
        .summary = "Upload-Offset: how much of an upload is there",
        .handle = files_tus_head,
        .answer_type = "",
        .answers = { 404, 412, 423, 503 },
    },
    {
        .method = "GET",
        .path = UPLOADS "/{id}",
        .summary = "how far an upload is, on its way here and into the store",
        .handle = files_tus_progress,
        .answer = "UploadProgress",
        .answers = { 404, 503 },
    },
    {
        .method = "PATCH",
        .path = UPLOADS "/{id}",
        .summary = "go on with an upload at Upload-Offset; the last byte hands it to the store",
        .handle = files_tus_patch,
        .streamed = true,
        .body_type = "application/offset+octet-stream",
        .answer_type = "",
        .success = 204,
        .answers = { 400, 404, 409, 412, 413, 415, 423, 503 },
    },
    {
        .method = "DELETE",
        .path = UPLOADS "/{id}",
        .summary = "give up an unfinished upload (with Tus-Resumable; else it is a file's path)",
        .handle = files_tus_delete,
        .answer_type = "",
        .success = 204,
        .answers = { 404, 412, 423 },
    },
    {
        .method = "GET",
        .path = "/v1/files/download/{path*}",
        .summary = "a file of the store; Range, If-Range and If-None-Match are understood",
        .handle = files_download,
        .answer_type = "application/octet-stream",
        .answers = { 206, 304, 400, 404, 416, 503 },
        .queries = { "bucket" },
    },
    {
        .method = "GET",
        .path = "/v1/files/presigned/{path*}",
        .summary = "an address by which anybody may fetch a file, for so many seconds",
        .handle = files_presigned,
        .answer = "FileLink",
        .answers = { 400, 503 },
        .queries = { "bucket", "seconds" },
    },
    {
        .method = "DELETE",
        .path = "/v1/files/directories",
        .summary = "remove all files of the store beneath a directory",
        .handle = files_delete_directory,
        .answer = "DirectoryDeleted",
        .answers = { 400, 503 },
        .queries = { "directory_path", "bucket" },
    },
    {
        .method = "DELETE",
        .path = "/v1/files/{path*}",
        .summary = "remove a file of the store",
        .handle = files_delete,
        .answer = "FileDeleted",
        .answers = { 400, 503 },
        .queries = { "bucket" },
    },
    { 0 },
};
