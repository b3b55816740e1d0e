/* GET /v1/files/download/{path*}: a file of the store, as it is fetched. */
#include "services/front/download.h"
#include "services/front/range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/status.h"

enum { SIGNED_SECONDS = 60, ERROR_KEPT = 65536, ETAG_ROOM = OBJECTS_ETAG_MAX + 4 };

struct download {
    struct link link;
    struct files *files;
    request_t *request; /* NULL once it is answered */
    CURL *easy;
    bool running; /* libcurl has it */
    bool within;  /* one of libcurl's calls */
    bool sending; /* the answer is under way: request_closed comes */
    bool closed;  /* nobody wants it any more */
    bool again;   /* the whole is wanted, not the range */
    bool paused;
    bool ended;
    bool broken;
    size_t from, size; /* of what is held, a ring */
    size_t thrown;     /* bytes of an answer that is none */
    struct curl_slist *headers;
    char *room;
    request_t *sent; /* the request that is being answered */
    char url[OBJECTS_URL_MAX];
    char path[OBJECTS_KEY_MAX + 1];
    char error[CURL_ERROR_SIZE];
    char range[RANGE_TEXT];   /* "": all of it */
    char if_range[ETAG_ROOM]; /* "": whatever it is by now */
    char *if_none;            /* If-None-Match, or NULL */
};

static void download_free(struct download *self)
{
    if (self->easy && self->running)
        curl_loop_remove(self->files->curl, self->easy);
    curl_easy_cleanup(self->easy);
    curl_slist_free_all(self->headers);
    files_leave(self->files->front);
    link_remove(&self->link);
    free(self->if_none);
    free(self->room);
    free(self);
}

static void free_if_over(struct download *self)
{
    if (self->closed && !self->within && (!self->running || self->sending))
        download_free(self);
}

/* ---- towards the client ---------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    struct download *self = arg;
    self->closed = true;
    self->sent = NULL;
    free_if_over(self);
}

static size_t give(struct download *self, char *to, size_t most)
{
    const size_t behind = DOWNLOAD_ROOM - self->from;
    size_t size = self->size < most ? self->size : most;
    size = size < behind ? size : behind;
    memcpy(to, self->room + self->from, size);
    self->from = (self->from + size) % DOWNLOAD_ROOM;
    self->size -= size;
    return size;
}

static ssize_t on_read(void *arg, void *to, size_t most)
{
    struct download *self = arg;
    if (self->broken)
        return -EPIPE;
    const size_t size = give(self, to, most);
    if (self->paused && self->size <= DOWNLOAD_ROOM / 2) {
        self->paused = false;
        (void)curl_easy_pause(self->easy, CURLPAUSE_CONT); /* may hand on at once */
    }
    if (size)
        return (ssize_t)size;
    return self->ended ? -ENODATA : 0;
}

static const struct request_source source = { on_read, on_closed, DOWNLOAD_ROOM };

/* A header of the store's answer; NULL: it has none such that can go on. */
static const char *header(const struct download *self, const char *name)
{
    struct curl_header *found = NULL;
    if (curl_easy_header(self->easy, name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK ||
        !files_type_good(found->value))
        return NULL;
    return found->value;
}

static void pass(const struct download *self, const char *name)
{
    const char *value = header(self, name);
    if (value)
        request_set_header(self->request, name, "%s", value);
}

static void refuse(struct download *self, int http, int64_t retry_after_ms, const char *text)
{
    request_t *request = self->request;
    self->request = NULL;
    self->closed = true;
    request_refuse(request, http, retry_after_ms, "%s", text);
}

/* The etag without its quotes. */
static void read_etag(const struct download *self, char etag[OBJECTS_ETAG_MAX])
{
    const char *value = header(self, "ETag");
    const char *quote = value ? strchr(value, '"') : NULL;
    struct slice bare = quote ? slice_make(quote + 1, strcspn(quote + 1, "\"")) : slice_of(value);
    if (!slice_copy(bare, etag, OBJECTS_ETAG_MAX))
        etag[0] = '\0';
}

static void set_headers(const struct download *self)
{
    char disposition[RANGE_NAME];
    range_disposition(self->path, disposition);
    request_set_header(self->request, "Content-Disposition", "%s", disposition);
    request_set_header(self->request, "X-Content-Type-Options", "nosniff");
    request_set_header(self->request, "Accept-Ranges", "bytes");
    if (header(self, "Content-Type"))
        pass(self, "Content-Type");
    else
        request_set_header(self->request, "Content-Type", "application/octet-stream");
    pass(self, "Last-Modified");
    pass(self, "Content-Range");
}

/* The head of a good answer is there. */
static void answer(struct download *self, long status)
{
    char etag[OBJECTS_ETAG_MAX];
    curl_off_t length = -1;
    request_t *request = self->request;
    read_etag(self, etag);
    if (status == 206 && *self->if_range && strcmp(self->if_range, etag) != 0) {
        self->again = true;
        return;
    }
    if (*etag)
        request_set_header(request, "ETag", "\"%s\"", etag);
    if (self->if_none && *etag && range_etag_listed(self->if_none, etag)) {
        self->request = NULL;
        self->closed = true;
        request_answer(request, 304, NULL);
        return;
    }
    (void)curl_easy_getinfo(self->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    set_headers(self);
    self->request = NULL;
    self->sent = request;
    self->sending = true;
    request_answer_source(request, (int)status, length < 0 ? UINT64_MAX : (uint64_t)length, &source,
                          self);
}

static void refuse_status(struct download *self, long status)
{
    char text[OBJECTS_KEY_MAX + 64];
    (void)snprintf(text, sizeof text, "there is no file %s", self->path);
    if (status == 416)
        pass(self, "Content-Range");
    else if (status != 404)
        log_event_seldom(LOG_LEVEL_WARN, "download_failed", "status=%ld", status);
    if (status == 404)
        refuse(self, 404, 0, text);
    else if (status == 416)
        refuse(self, 416, 0, "the file has no such range");
    else if (status == 403)
        refuse(self, 503, 0, "the object store does not let us read it");
    else
        refuse(self, 503, FILES_AGAIN_MS, "the object store does not answer as it should");
}

/* ---- what libcurl calls ---------------------------------------------------------------------- */

static bool is_good(long status)
{
    return status == 200 || status == 206;
}

static size_t keep(struct download *self, const char *bytes, size_t size)
{
    if (size > DOWNLOAD_ROOM - self->size) {
        self->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    const size_t at = (self->from + self->size) % DOWNLOAD_ROOM;
    const size_t behind = DOWNLOAD_ROOM - at < size ? DOWNLOAD_ROOM - at : size;
    memcpy(self->room + at, bytes, behind);
    memcpy(self->room, bytes + behind, size - behind);
    self->size += size;
    request_more(self->sent);
    return size;
}

static size_t take(struct download *self, const char *bytes, size_t size)
{
    long status = 0;
    (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!is_good(status)) { /* told at its end */
        self->thrown += size;
        return self->thrown > ERROR_KEPT ? 0 : size;
    }
    if (self->request)
        answer(self, status);
    return self->closed || self->again ? 0 : keep(self, bytes, size);
}

/* Fewer bytes than came cut it off. */
static size_t on_body(const char *bytes, size_t one, size_t size, void *arg)
{
    struct download *self = arg;
    const bool within = self->within;
    (void)one;
    self->within = true;
    const size_t taken = take(self, bytes, size);
    self->within = within;
    return taken;
}

static int start(struct download *self)
{
    int r = curl_loop_add(self->files->curl, self->easy);
    self->running = r == 0;
    return r;
}

static void begin_again(struct download *self)
{
    self->again = false;
    self->if_range[0] = '\0';
    (void)curl_easy_setopt(self->easy, CURLOPT_RANGE, NULL);
    if (start(self))
        refuse(self, 500, 0, "out of memory");
}

/* It is over, and nothing was told yet. */
static void tell(struct download *self, CURLcode code)
{
    long status = 0;
    (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
    if (is_good(status) && code == CURLE_OK)
        answer(self, status);
    else if (status && !is_good(status))
        refuse_status(self, status);
    else {
        log_event_seldom(LOG_LEVEL_WARN, "download_failed", "why=%s",
                         self->error[0] ? self->error : curl_easy_strerror(code));
        refuse(self, 503, FILES_AGAIN_MS, "the object store cannot be reached");
    }
}

void download_ended(void *arg, CURLcode code)
{
    struct download *self = arg;
    curl_loop_remove(self->files->curl, self->easy);
    self->running = false;
    self->ended = true;
    self->within = true;
    if (self->request && !self->again)
        tell(self, code);
    else if (self->sent && code) {
        self->broken = true;
        request_more(self->sent);
    } else if (self->sent) {
        request_more(self->sent);
    }
    if (self->again) {
        self->ended = false;
        begin_again(self);
    }
    self->within = false;
    free_if_over(self);
}

/* ---- its beginning --------------------------------------------------------------------------- */

#define SET(option, value) (code = code ? code : curl_easy_setopt(self->easy, option, value))

static int set_up(struct download *self, const struct settings *settings, bool head)
{
    CURLcode code = CURLE_OK;
    const long timeout_ms = (long)settings->objects_timeout_ms;
    self->easy = curl_easy_init();
    if (!self->easy)
        return -ENOMEM;
    SET(CURLOPT_URL, self->url);
    SET(CURLOPT_NOBODY, head ? 1L : 0L);
    SET(CURLOPT_RANGE, *self->range ? self->range + strlen("bytes=") : NULL);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_BUFFERSIZE, 65536L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (timeout_ms + 999) / 1000);
    if (*settings->objects_ca_file)
        SET(CURLOPT_CAINFO, settings->objects_ca_file);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, self);
    SET(CURLOPT_ERRORBUFFER, self->error);
    SET(CURLOPT_PRIVATE, self);
    return code ? -ENOMEM : 0;
}

/* A range is asked of the store; whether it is still the file that If-Range names shows then. */
static int read_wishes(struct download *self, const request_t *request)
{
    const char *range = request_header(request, "Range");
    const char *if_range = request_header(request, "If-Range");
    const char *if_none = request_header(request, "If-None-Match");
    const size_t size = if_range ? strlen(if_range) : 0;
    if (range && !range_read(range, self->range))
        self->range[0] = '\0';
    if (if_range && (size < 3 || if_range[0] != '"' || if_range[size - 1] != '"' ||
                     !slice_copy(slice_make(if_range + 1, size - 2), self->if_range, ETAG_ROOM)))
        self->range[0] = '\0'; /* a date, or a weak one: then all of it */
    self->if_none = if_none ? strdup(if_none) : NULL;
    return if_none && !self->if_none ? -ENOMEM : 0;
}

void download_begin(request_t *request, const char *bucket, const char *path)
{
    struct front *front = request_front(request);
    const bool head = request_is_head(request);
    struct download *self = calloc(1, sizeof *self);
    if (!self) {
        files_leave(front);
        request_refuse_status(request, -ENOMEM, "", 0, "");
        return;
    }
    link_init(&self->link);
    link_append(&front->files->downloads, &self->link);
    self->files = front->files;
    self->request = request;
    self->room = malloc(DOWNLOAD_ROOM);
    (void)snprintf(self->path, sizeof self->path, "%s", path);
    const struct objects_link link = { .method = head ? "HEAD" : "GET",
                                       .endpoint = "",
                                       .bucket = bucket,
                                       .key = path,
                                       .seconds = SIGNED_SECONDS };
    int r = self->room ? read_wishes(self, request) : -ENOMEM;
    if (r == 0)
        r = objects_presign(self->files->objects, &link, self->url);
    if (r == 0)
        r = set_up(self, front->settings, head);
    if (r == 0)
        r = start(self);
    if (r == 0)
        return;
    request_refuse_status(request, r, "", 0, "");
    download_free(self);
}

void downloads_stop(struct files *files)
{
    for (struct link *link = link_first(&files->downloads); link;
         link = link_first(&files->downloads)) {
        struct download *self = link_owner(link, struct download, link);
        if (self->request)
            refuse(self, 503, FILES_AGAIN_MS, "the service stops");
        download_free(self);
    }
}

void files_download(request_t *request)
{
    const char *path = request_part(request, "path");
    if (!files_has_store(request) || !files_path(request, path))
        return;
    const char *bucket = files_bucket(request, request_query(request, "bucket"));
    if (bucket && files_enter(request))
        download_begin(request, bucket, path);
}
