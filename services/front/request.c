#include "services/front/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/status.h"
#include "services/front/guard.h"
#include "services/front/json_body.h"
#include "services/front/request_own.h"

enum { REFUSAL_SIZE = 1024, BODY_FIRST = 4096 };

/* ---- what handlers ask -----------------------------------------------------------------------
 */

struct front *request_front(const request_t *self)
{
    return self->front;
}

const char *request_part(const request_t *self, const char *name)
{
    const struct route_match *match = &self->match;
    for (size_t i = 0; i < match->count; i++)
        if (slice_is(slice_make(match->names[i], match->name_sizes[i]), name))
            return match->values[i];
    return "";
}

const char *request_query(const request_t *self, const char *name)
{
    return uri_query(&self->uri, name);
}

const char *request_header(const request_t *self, const char *name)
{
    return self->connection ? MHD_lookup_connection_value(self->connection, MHD_HEADER_KIND, name)
                            : NULL;
}

struct slice request_body(const request_t *self)
{
    return slice_make(self->body, self->size);
}

json_t *request_json(request_t *self)
{
    char error[JSON_BODY_ERROR];
    json_t *object = NULL;
    int r = json_body_read(request_body(self), &object, error);
    if (r > 0)
        request_refuse(self, 400, 0, "参数验证失败: %s", error);
    else if (r < 0)
        request_refuse_status(self, r, "", 0, "");
    return object;
}

const char *request_id(const request_t *self)
{
    return self->trace.id;
}

const char *request_trace(const request_t *self)
{
    return self->trace.parent;
}

/* ---- the answer ------------------------------------------------------------------------------
 */

void request_header_add(struct MHD_Response *response, const char *name, const char *value)
{
    (void)MHD_add_response_header(response, name, value); /* out of memory: it goes without */
}

void request_respond(request_t *self, unsigned http, struct MHD_Response *response)
{
    self->state = REQUEST_ANSWERED;
    if (!self->connection) {
        if (response)
            MHD_destroy_response(response);
        request_free(self);
        return;
    }
    self->answer = http;
    self->response = response; /* NULL: out of memory, the connection is closed */
    if (response) {
        request_header_add(response, "X-Request-Id", self->trace.id);
        request_header_add(response, "traceparent", self->trace.parent);
    }
    if (self->asleep) {
        self->asleep = false;
        MHD_resume_connection(self->connection);
        http_wake(self->http);
    }
}

static struct MHD_Response *response_of(json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(text ? strlen(text) : 0, text, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(text);
    else if (text)
        request_header_add(response, "Content-Type", "application/json");
    return response;
}

void request_answer(request_t *self, int http, json_t *body)
{
    request_respond(self, (unsigned)http, response_of(body));
}

static struct MHD_Response *refusal_of(const char *detail, int64_t retry_after_ms)
{
    struct MHD_Response *response = response_of(json_pack("{s:s}", "detail", detail));
    char seconds[24];
    if (response && retry_after_ms > 0) {
        (void)snprintf(seconds, sizeof seconds, "%lld", (long long)(retry_after_ms + 999) / 1000);
        request_header_add(response, "Retry-After", seconds);
    }
    return response;
}

void request_refuse(request_t *self, int http, int64_t retry_after_ms, const char *format, ...)
{
    char detail[REFUSAL_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    log_event(LOG_LEVEL_DEBUG, "refused", "http=%d detail=%s request=%s", http, detail,
              self->trace.id);
    request_respond(self, (unsigned)http, refusal_of(detail, retry_after_ms));
}

void request_refuse_status(request_t *self, int status, const char *scope, uint32_t retry_after_ms,
                           const char *message)
{
    enum { RETRY_AFTER_MS = 1000 };
    const bool away =
        status == STATUS_BUSY || status == STATUS_UNAVAILABLE || status == STATUS_TIMEOUT;
    const int http = status < 0                                            ? 500
                     : status == STATUS_BUSY && strcmp(scope, "user") == 0 ? 429
                     : away                                                ? 503
                                                                           : status_http(status);
    const int64_t wait = !away ? 0 : retry_after_ms ? retry_after_ms : RETRY_AFTER_MS;
    if (status < 0)
        log_event_seldom(LOG_LEVEL_ERROR, "request_failed", "why=%s request=%s", strerror(-status),
                         self->trace.id);
    request_refuse(self, http, wait, "%s", *message ? message : gantry_status_text(status));
}

/* ---- its life --------------------------------------------------------------------------------
 */

void request_free(request_t *self)
{
    if (self->stream)
        stream_over(self);
    uri_clear(&self->uri);
    free(self->body);
    free(self);
}

request_t *request_new(struct front *front, http_t *http, struct MHD_Connection *connection,
                       const char *target)
{
    request_t *self = calloc(1, sizeof *self);
    const char *wrong = NULL;
    if (!self)
        return NULL;
    self->front = front;
    self->http = http;
    self->connection = connection;
    trace_fill(&self->trace, NULL, NULL);
    int r = uri_parse(target ? target : "", &self->uri, &wrong);
    if (r < 0) {
        request_free(self);
        return NULL;
    }
    if (r > 0)
        request_refuse(self, 400, 0, "%s", wrong);
    return self;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    guard_header(arg, slice_make(name, name_size), slice_make(value, value_size));
    return MHD_YES;
}

static bool is_json(const char *type)
{
    const size_t size = strcspn(type, "; \t");
    if (strncasecmp(type, "application/", 12) != 0)
        return false;
    return (size == 16 && strncasecmp(type + 12, "json", 4) == 0) ||
           (size > 17 && strncasecmp(type + size - 5, "+json", 5) == 0);
}

static void refuse_method(request_t *self, const char *method, const char *allow)
{
    request_refuse(self, 405, 0, "%.32s is not possible here, but %s", method, allow);
    if (self->response)
        request_header_add(self->response, "Allow", allow);
}

/* What can be said before the body came. */
static void look_at_route(request_t *self, const char *method, const struct guard *guard)
{
    char allow[64];
    const int http = route_find(method, self->uri.path, &self->match, allow);
    const char *type = request_header(self, "Content-Type");
    const int64_t body_max = self->front->settings->front_body_bytes;
    if (http == 404)
        request_refuse(self, 404, 0, "there is nothing at %.200s", self->uri.path);
    else if (http == 405)
        refuse_method(self, method, allow);
    else if (guard->length > (uint64_t)body_max)
        request_refuse(self, 413, 0, "the body is larger than %lld bytes", (long long)body_max);
    else if (self->match.route->body && type && !is_json(type))
        request_refuse(self, 415, 0, "the body is to be application/json");
}

static void begin(request_t *self, const char *method, const char *version)
{
    struct guard guard = { 0 };
    self->begun = true;
    (void)MHD_get_connection_values_n(self->connection, MHD_HEADER_KIND, on_header, &guard);
    guard_end(&guard, version);
    if (self->state == REQUEST_ANSWERED)
        return;
    trace_fill(&self->trace, request_header(self, "X-Request-Id"),
               request_header(self, "traceparent"));
    if (guard.wrong)
        request_refuse(self, 400, 0, "%s", guard.wrong);
    else
        look_at_route(self, method, &guard);
    if (self->response && guard.wrong)
        request_header_add(self->response, "Connection", "close");
}

static bool take(request_t *self, const char *data, size_t size)
{
    const size_t most = (size_t)self->front->settings->front_body_bytes;
    if (self->state != REQUEST_ARRIVING)
        return true;
    if (size > most - self->size)
        return false;
    if (size > self->room - self->size) {
        size_t room = self->room ? self->room : BODY_FIRST;
        while (room < self->size + size)
            room *= 2;
        char *body = realloc(self->body, room);
        if (!body)
            return false;
        self->body = body;
        self->room = room;
    }
    memcpy(self->body + self->size, data, size);
    self->size += size;
    return true;
}

static bool proceed(request_t *self)
{
    if (self->state == REQUEST_HANDLED && !self->asleep) {
        self->asleep = true;
        MHD_suspend_connection(self->connection);
        return true;
    }
    if (self->state != REQUEST_ANSWERED || self->queued)
        return true;
    if (!self->response)
        return false;
    self->queued = MHD_queue_response(self->connection, self->answer, self->response) == MHD_YES;
    return self->queued;
}

bool request_receive(request_t *self, const char *method, const char *version, const char *data,
                     size_t size)
{
    if (!self->begun)
        begin(self, method, version);
    else if (size && !take(self, data, size))
        return false;
    else if (!size && self->state == REQUEST_ARRIVING) {
        self->state = REQUEST_HANDLED;
        self->match.route->handle(self);
    }
    return proceed(self);
}

void request_over(request_t *self)
{
    self->connection = NULL;
    if (self->response)
        MHD_destroy_response(self->response);
    self->response = NULL;
    if (self->state != REQUEST_HANDLED) /* else whoever answers it frees it */
        request_free(self);
}
