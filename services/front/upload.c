#include "services/front/upload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/status.h"

enum { WAIT_MS = 30000, MISMATCH = 1 };

/* ---- its end --------------------------------------------------------------------------------- */

request_t *upload_answer(struct upload *self)
{
    request_t *request = self->request;
    self->request = NULL;
    return request;
}

static void leave(struct upload *self)
{
    if (self->moving)
        files_leave(self->front);
    self->moving = false;
}

static void upload_free(struct upload *self)
{
    leave(self);
    if (self->request)
        request_refuse(upload_answer(self), 503, FILES_AGAIN_MS, "the service stops");
    if (self->spooling)
        spool_clear(&self->spool);
    EVP_MD_CTX_free(self->sum);
    self->kind->free(self->own);
    free(self);
}

static void on_close(void *arg);
static void on_closed(void *arg);

/* All that was taken is written: to the pool with what is left to do. */
static void go_on(struct upload *self)
{
    if (self->step != UPLOAD_FLUSHING || (self->spooling && !spool_flush(&self->spool)))
        return;
    self->step = UPLOAD_CLOSING;
    pool_begin(self->front, &self->call, on_close, on_closed, self);
}

static void flush(struct upload *self, bool good)
{
    self->good = good;
    self->step = UPLOAD_FLUSHING;
    go_on(self);
}

static void tell_refusal(struct upload *self)
{
    if (self->request && self->refused)
        request_refuse(upload_answer(self), self->refused_http, self->refused_ms, "%s",
                       self->refused_text);
}

void upload_refuse(struct upload *self, int http, int64_t retry_after_ms, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(self->refused_text, sizeof self->refused_text, format, args);
    va_end(args);
    self->refused = true;
    self->refused_http = http;
    self->refused_ms = retry_after_ms;
    if (self->step == UPLOAD_OPENING || self->step == UPLOAD_TAKING)
        flush(self, false);
    else
        tell_refusal(self);
}

static void refuse_disk(struct upload *self, int error)
{
    log_event_seldom(LOG_LEVEL_ERROR, "upload_failed", "why=%s", strerror(-error));
    if (error == -ENOSPC || error == -EDQUOT)
        upload_refuse(self, 503, FILES_DISK_AGAIN_MS, "the shared disk is full");
    else
        upload_refuse(self, 500, 0, "the shared disk: %s", strerror(-error));
}

/* ---- in the pool ----------------------------------------------------------------------------- */

static void on_open(void *arg)
{
    struct upload *self = arg;
    const char *root = self->front->settings->storage_root;
    char id[UPLOAD_ID_SIZE];
    (void)snprintf(id, sizeof id, "%s", self->about.id);
    self->result = self->make ? upload_disk_make(root, &self->about, &self->file)
                              : upload_disk_open(root, id, &self->about, &self->file);
}

static bool sum_is_wrong(const struct upload *self)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return EVP_DigestFinal_ex(self->sum, digest, &size) != 1 || size != self->checksum.size ||
           memcmp(digest, self->checksum.digest, size) != 0;
}

/* What came is good: 0, MISMATCH or -errno. */
static int keep(struct upload *self)
{
    if (self->checksum.size && sum_is_wrong(self))
        return ftruncate(self->file, (off_t)self->start) ? -errno : MISMATCH;
    self->ready = self->about.size && self->about.offset == self->about.size;
    return self->ready
               ? upload_disk_finish(self->front->settings->storage_root, &self->about, self->file)
               : 0;
}

/* Bytes that nobody vouched for go; so does what cannot be gone on with. */
static int drop(const struct upload *self)
{
    if (!self->about.resumable)
        return upload_disk_remove(self->front->settings->storage_root, self->about.id);
    return self->checksum.size && ftruncate(self->file, (off_t)self->start) ? -errno : 0;
}

static void on_close(void *arg)
{
    struct upload *self = arg;
    self->result = self->good ? keep(self) : drop(self);
    if (self->file >= 0)
        (void)close(self->file);
    self->file = -1;
}

static void on_submitted(void *arg)
{
    struct upload *self = arg;
    self->result = upload_disk_submitted(self->front->settings->storage_root, &self->about);
}

static void on_remove(void *arg)
{
    const struct upload *self = arg;
    (void)upload_disk_remove(self->front->settings->storage_root, self->about.id);
}

/* ---- its task -------------------------------------------------------------------------------- */

static void on_removed(void *arg)
{
    upload_free(arg);
}

static void on_waited(void *arg, int status, const gantry_record_t *record);

static void wait(struct upload *self)
{
    int r =
        self->cut ? -ECANCELED : push_wait(self->front, self->about.id, WAIT_MS, on_waited, self);
    if (r == 0)
        return;
    upload_refuse(self, 503, FILES_AGAIN_MS,
                  "the file is kept and goes to the store as task %s; it cannot be waited for now",
                  self->about.id);
    upload_free(self);
}

static void tell_end(struct upload *self, const struct gantry_stage *stage)
{
    if (stage && strcmp(stage->state, "completed") == 0)
        self->kind->done(self, stage);
    else
        upload_refuse(self, 500, 0, "the file did not get into the store: %s (task %s)",
                      stage && *stage->error_message ? stage->error_message : "its task was ended",
                      self->about.id);
}

static void on_waited(void *arg, int status, const gantry_record_t *record)
{
    struct upload *self = arg;
    if (status == STATUS_TIMEOUT) {
        wait(self);
        return;
    }
    if (status == 0 && self->request)
        tell_end(self, gantry_record_find(record, UPLOAD_TASK));
    else
        upload_refuse(self, 503, FILES_AGAIN_MS,
                      "the file is kept and goes to the store as task %s, but nobody tells how far "
                      "it is: %s",
                      self->about.id, gantry_status_text(status));
    upload_free(self);
}

static void on_marked(void *arg)
{
    struct upload *self = arg;
    if (self->kind->waits && !self->cut) {
        wait(self);
        return;
    }
    if (self->request)
        self->kind->done(self, NULL);
    upload_free(self);
}

/* It was whole, but nobody took it. What is resumable is submitted when it is asked for again; of
 * the others nothing stays, even where the task may have been kept: who sent it was told otherwise.
 */
static void refuse_push(struct upload *self, int status, const char *message)
{
    const bool away =
        status == STATUS_BUSY || status == STATUS_UNAVAILABLE || status == STATUS_TIMEOUT;
    upload_refuse(self, status < 0 && status != -ECANCELED ? 500 : 503,
                  away || status == -ECANCELED ? FILES_AGAIN_MS : 0, "%s was not accepted: %s",
                  UPLOAD_TASK, *message ? message : gantry_status_text(status));
    if (self->about.resumable)
        upload_free(self);
    else
        pool_begin(self->front, &self->call, on_remove, on_removed, self);
}

static void on_kept(void *arg, const struct gantry_receipt *receipt)
{
    struct upload *self = arg;
    if (receipt->status)
        refuse_push(self, receipt->status, receipt->message);
    else
        pool_begin(self->front, &self->call, on_submitted, on_marked, self);
}

static void push(struct upload *self)
{
    self->step = UPLOAD_PUSHING;
    int r = push_submit(self->front, &self->about, on_kept, self);
    if (r)
        refuse_push(self, r, "");
}

/* ---- its bytes ------------------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    struct upload *self = arg;
    leave(self);
    if (self->good && self->result < 0)
        refuse_disk(self, self->result);
    else if (self->good && self->result == MISMATCH)
        upload_refuse(self, 460, 0, "the checksum is another: nothing of it was kept");
    tell_refusal(self);
    if (!self->good || self->result) {
        upload_free(self);
        return;
    }
    if (self->ready) {
        push(self);
        return;
    }
    if (self->request)
        self->kind->done(self, NULL);
    upload_free(self);
}

static void on_moved(void *arg)
{
    struct upload *self = arg;
    if (self->spool.error && self->step == UPLOAD_FLUSHING)
        self->good = false;
    if (self->spool.error && !self->refused)
        refuse_disk(self, self->spool.error);
    else if (self->step == UPLOAD_TAKING)
        request_more(self->request);
    if (self->step == UPLOAD_FLUSHING)
        go_on(self);
}

bool upload_put(struct upload *self, struct slice bytes)
{
    char detail[256];
    if (!files_space(self->front, 0, detail)) {
        upload_refuse(self, 503, FILES_DISK_AGAIN_MS, "%s", detail);
        return false;
    }
    spool_put(&self->spool, bytes);
    self->came += bytes.size;
    self->about.offset += bytes.size;
    return true;
}

static size_t on_part(void *arg, struct slice bytes)
{
    struct upload *self = arg;
    return self->refused ? bytes.size : self->kind->take(self, bytes);
}

static void on_whole(void *arg)
{
    struct upload *self = arg;
    if (!self->refused && self->kind->whole(self))
        flush(self, true);
}

static void on_cut(void *arg)
{
    struct upload *self = arg;
    self->cut = true;
    if (!self->refused)
        upload_refuse(self, 400, 0, "the peer has gone"); /* what is whole goes on */
    else
        tell_refusal(self);
}

static const struct request_taker taker = { on_part, on_whole, on_cut };

static void refuse_open(struct upload *self)
{
    if (self->result == STATUS_NOT_FOUND)
        upload_refuse(self, 404, 0, "there is no such upload");
    else if (self->result == STATUS_BUSY)
        upload_refuse(self, 423, FILES_AGAIN_MS, "another request writes to this upload");
    else
        refuse_disk(self, self->result);
}

static int prepare(struct upload *self)
{
    if (self->checksum.size) {
        self->sum = EVP_MD_CTX_new();
        if (!self->sum ||
            EVP_DigestInit_ex(self->sum, EVP_get_digestbyname(self->checksum.algorithm), NULL) != 1)
            return -ENOMEM;
    }
    int r = spool_init(&self->spool, self->front, self->file, self->start, self->sum);
    self->spooling = r == 0;
    self->spool.moved = on_moved;
    self->spool.arg = self;
    return r;
}

static void on_opened(void *arg)
{
    struct upload *self = arg;
    if (self->result) {
        self->step = UPLOAD_CLOSING; /* there is nothing to close */
        refuse_open(self);
        upload_free(self);
        return;
    }
    self->start = self->about.offset;
    if (!self->kind->opened(self))
        return;
    int r = prepare(self);
    if (r) {
        refuse_disk(self, r);
        return;
    }
    self->step = UPLOAD_TAKING;
    if (self->kind->take)
        request_take(self->request, &taker, self);
    else
        flush(self, true);
}

void upload_begin(request_t *request, const struct upload_kind *kind, bool make,
                  const struct upload_about *about, void *own)
{
    struct upload *self = calloc(1, sizeof *self);
    if (!self || !files_enter(request)) {
        if (!self)
            request_refuse_status(request, -ENOMEM, "", 0, "");
        free(self);
        kind->free(own);
        return;
    }
    *self = (struct upload){ .front = request_front(request),
                             .request = request,
                             .kind = kind,
                             .own = own,
                             .about = *about,
                             .make = make,
                             .moving = true,
                             .file = -1 };
    pool_begin(self->front, &self->call, on_open, on_opened, self);
}
