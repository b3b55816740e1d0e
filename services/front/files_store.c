/* /v1/files: what the store is asked for at once: addresses, and removals. */
#include "services/front/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/objects/objects_settings.h"
#include "common/status.h"
#include "services/front/pool.h"
#include "services/front/tus_head.h"

/* Threads that may wait for the store at once, so that some are left for the disk. */
enum { CALLS_MAX = 8, SECONDS_MAX = 604800 };

/* ---- GET /v1/files/presigned ----------------------------------------------------------------- */

static bool read_seconds(request_t *request, uint32_t *ret_seconds)
{
    const char *given = request_query(request, "seconds");
    uint64_t seconds = FILES_LINK_SECONDS;
    const bool good =
        !given || (tus_number_read(given, &seconds) && seconds >= 1 && seconds <= SECONDS_MAX);
    if (good)
        *ret_seconds = (uint32_t)seconds;
    else
        request_refuse(request, 400, 0, "seconds: must be 1 to %d", SECONDS_MAX);
    return good;
}

void files_presigned(request_t *request)
{
    struct front *front = request_front(request);
    const char *path = request_part(request, "path");
    char url[OBJECTS_URL_MAX];
    uint32_t seconds = 0;
    if (!files_has_store(request) || !files_path(request, path) || !read_seconds(request, &seconds))
        return;
    const char *bucket = files_bucket(request, request_query(request, "bucket"));
    if (!bucket)
        return;
    const struct objects_link link = { .method = "GET",
                                       .endpoint = front->settings->objects_public_endpoint,
                                       .bucket = bucket,
                                       .key = path,
                                       .seconds = seconds };
    int r = objects_presign(front->files->objects, &link, url);
    if (r) {
        request_refuse_status(request, r, "", 0, "");
        return;
    }
    char until[CLOCK_TEXT];
    request_answer(request, 200,
                   json_pack("{s:s, s:s}", "download_url", url, "expires_at",
                             clock_text(clock_wall_ms() + (int64_t)seconds * 1000, until)));
}

/* ---- removals -------------------------------------------------------------------------------- */

struct removal {
    struct pool_call call;
    request_t *request;
    struct front *front;
    bool directory;
    uint64_t count;
    int result;
    char bucket[OBJECTS_BUCKET_MAX + 1];
    char path[OBJECTS_KEY_MAX + 1]; /* of a directory: it ends in a slash */
    char error[256];
    char logged[512]; /* the same, with where the store is */
};

static int remove_file(objects_t *objects, struct removal *self)
{
    struct object_info info;
    int r = objects_head(objects, self->bucket, self->path, &info);
    if (r == 0)
        r = objects_delete(objects, self->bucket, self->path);
    self->count = r == 0 ? 1 : 0;
    return r == STATUS_NOT_FOUND ? 0 : r;
}

static int remove_files(objects_t *objects, struct removal *self)
{
    int r = objects_delete_prefix(objects, self->bucket, self->path, &self->count);
    return r == STATUS_NOT_FOUND ? 0 : r;
}

static void run(void *arg)
{
    struct removal *self = arg;
    objects_t *objects = NULL;
    self->result = objects_of_settings(self->front->settings, &objects, self->error);
    if (self->result)
        return;
    self->result = self->directory ? remove_files(objects, self) : remove_file(objects, self);
    if (self->result) {
        (void)snprintf(self->error, sizeof self->error, "%s", objects_error_outside(objects));
        (void)snprintf(self->logged, sizeof self->logged, "%s", objects_error(objects));
    }
    objects_destroy(&objects);
}

static json_t *body_of(const struct removal *self)
{
    const int without_slash = (int)strlen(self->path) - 1;
    if (self->directory)
        return json_pack("{s:s%, s:s, s:s, s:I}", "directory_path", self->path, without_slash,
                         "bucket", self->bucket, "status", self->count ? "deleted" : "skipped",
                         "deleted_count", (json_int_t)self->count);
    return json_pack("{s:s, s:s, s:s}", "file_path", self->path, "bucket", self->bucket, "status",
                     self->count ? "deleted" : "skipped");
}

static void on_run(void *arg)
{
    struct removal *self = arg;
    const bool theirs = self->result == STATUS_DENIED || self->result == STATUS_MALFORMED ||
                        self->result == STATUS_CONFLICT;
    self->front->files->store_calls--;
    if (*self->logged)
        log_event_seldom(LOG_LEVEL_WARN, "store_failed", "why=%s", self->logged);
    if (self->result == 0)
        request_answer(self->request, 200, body_of(self));
    else
        request_refuse_status(self->request, theirs ? STATUS_UNAVAILABLE : self->result, "", 0,
                              self->error);
    free(self);
}

static void begin(request_t *request, bool directory, const char *path)
{
    struct front *front = request_front(request);
    const char *bucket = files_bucket(request, request_query(request, "bucket"));
    if (!bucket)
        return;
    if (front->files->store_calls == CALLS_MAX) {
        request_refuse(request, 503, FILES_AGAIN_MS, "too many wait for the object store");
        return;
    }
    struct removal *self = calloc(1, sizeof *self);
    if (!self) {
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return;
    }
    self->request = request;
    self->front = front;
    self->directory = directory;
    (void)snprintf(self->bucket, sizeof self->bucket, "%s", bucket);
    (void)snprintf(self->path, sizeof self->path, "%s%s", path, directory ? "/" : "");
    front->files->store_calls++;
    pool_begin(front, &self->call, run, on_run, self);
}

/* Of rows for something else, whose path a file may have as well. */
static const char *path_of(request_t *request, char text[64 + UPLOAD_ID_SIZE])
{
    const char *path = request_part(request, "path");
    const char *id = request_part(request, "id");
    if (*path)
        return path;
    (void)snprintf(text, 64 + UPLOAD_ID_SIZE, *id ? "uploads/%s" : "directories%s", id);
    return text;
}

void files_delete(request_t *request)
{
    char text[64 + UPLOAD_ID_SIZE];
    const char *path = path_of(request, text);
    if (files_has_store(request) && files_path(request, path))
        begin(request, false, path);
}

void files_delete_directory(request_t *request)
{
    const char *given = request_query(request, "directory_path");
    char path[OBJECTS_KEY_MAX];
    if (!given) {
        files_delete(request);
        return;
    }
    struct slice bare = slice_of(given);
    if (bare.size && given[bare.size - 1] == '/')
        bare.size--;
    if (!files_has_store(request))
        return;
    if (!slice_copy(bare, path, sizeof path) || !files_path_good(path))
        request_refuse(request, 400, 0,
                       "directory_path: must name a directory, without a leading or doubled / and "
                       "without . or .. as a part");
    else
        begin(request, true, path);
}
