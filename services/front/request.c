#include "services/front/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/status.h"
#include "common/utf8.h"
#include "services/front/request_own.h"

enum { REFUSAL_SIZE = 1536, RETRY_AFTER_MS = 1000 };

struct front *request_front(const request_t *self)
{
    return self->front;
}

const char *request_part(const request_t *self, const char *name)
{
    const struct route_match *match = &self->match;
    for (size_t i = 0; i < match->count; i++)
        if (slice_is(slice_make(match->names[i], match->name_sizes[i]), name))
            return match->rest && i + 1 == match->count ? match->rest : match->values[i];
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

uint64_t request_length(const request_t *self)
{
    return self->length;
}

bool request_is_head(const request_t *self)
{
    return self->head;
}

const char *request_id(const request_t *self)
{
    return self->trace.id;
}

const char *request_trace(const request_t *self)
{
    return self->trace.parent;
}

void request_header_add(struct MHD_Response *response, const char *name, const char *value)
{
    (void)MHD_add_response_header(response, name, value); /* out of memory: it goes without */
}

void request_set_header(request_t *self, const char *name, const char *format, ...)
{
    struct request_header header = { .name = name };
    va_list args;
    va_start(args, format);
    if (vasprintf(&header.value, format, args) < 0)
        header.value = NULL; /* out of memory: it goes without */
    va_end(args);
    if (header.value && self->header_count < REQUEST_HEADERS_MAX)
        self->headers[self->header_count++] = header;
    else
        free(header.value);
}

static void set_headers(const request_t *self, struct MHD_Response *response)
{
    request_header_add(response, "X-Request-Id", self->trace.id);
    request_header_add(response, "traceparent", self->trace.parent);
    for (size_t i = 0; i < self->header_count; i++)
        request_header_add(response, self->headers[i].name, self->headers[i].value);
}

void request_hold(const request_t *self, size_t bytes)
{
    if (self->http && self->peer)
        http_hold(self->http, self->peer, bytes);
}

void request_wake(request_t *self)
{
    if (!self->asleep)
        return;
    self->asleep = false;
    self->peer->held_up = false;
    http_resume(self->http, self->connection);
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
    if (response)
        set_headers(self, response);
    request_wake(self);
}

#define JSON_TYPE "application/json"

/* Takes text; NULL: no body. */
static struct MHD_Response *response_of_text(const request_t *self, char *text, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(text ? strlen(text) : 0, text, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(text);
    else if (text)
        request_header_add(response, "Content-Type", type);
    if (response && text)
        request_hold(self, strlen(text));
    return response;
}

static struct MHD_Response *response_of(const request_t *self, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(body);
    return response_of_text(self, text, JSON_TYPE);
}

void request_answer_typed(request_t *self, int http, const char *type, const char *text)
{
    char *copy = strdup(text);
    request_respond(self, (unsigned)http, copy ? response_of_text(self, copy, type) : NULL);
}

void request_answer_text(request_t *self, int http, const char *text)
{
    request_answer_typed(self, http, JSON_TYPE, text);
}

void request_answer(request_t *self, int http, json_t *body)
{
    request_respond(self, (unsigned)http, response_of(self, body));
}

static struct MHD_Response *refusal_of(const request_t *self, const char *detail,
                                       int64_t retry_after_ms)
{
    struct MHD_Response *response = response_of(self, json_pack("{s:s}", "detail", detail));
    if (response && retry_after_ms > 0) {
        char seconds[24];
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
    utf8_clean(detail); /* it may be cut in the middle of a character, or quote what is none */
    log_event(LOG_LEVEL_DEBUG, "refused", "http=%d detail=%s request=%s", http, detail,
              self->trace.id);
    if (self->opened && !self->whole)
        self->detail = strdup(detail);
    request_respond(self, (unsigned)http, refusal_of(self, detail, retry_after_ms));
}

void request_refuse_status(request_t *self, int status, const char *scope, uint32_t retry_after_ms,
                           const char *message)
{
    const bool away =
        status == STATUS_BUSY || status == STATUS_UNAVAILABLE || status == STATUS_TIMEOUT;
    const bool quota =
        status == STATUS_BUSY && (strcmp(scope, "user") == 0 || strcmp(scope, "user disk") == 0);
    const int http = status < 0 ? 500 : quota ? 429 : away ? 503 : status_http(status);
    const int64_t wait = !away ? 0 : retry_after_ms ? retry_after_ms : RETRY_AFTER_MS;
    if (status < 0)
        log_event_seldom(LOG_LEVEL_ERROR, "request_failed", "why=%s request=%s", strerror(-status),
                         self->trace.id);
    request_refuse(self, http, wait, "%s",
                   status > 0 && *message ? message : gantry_status_text(status));
}

void request_drop_body(request_t *self)
{
    free(self->body);
    self->body = NULL;
    self->front->bodies -= self->room;
    self->room = 0;
}

void request_free(request_t *self)
{
    if (self->stream)
        stream_over(self);
    if (self->source)
        source_over(self);
    for (size_t i = 0; i < self->header_count; i++)
        free(self->headers[i].value);
    free(self->detail);
    uri_clear(&self->uri);
    request_drop_body(self);
    free(self);
}
