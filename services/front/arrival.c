#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/status.h"
#include "services/front/guard.h"
#include "services/front/request_own.h"

enum { BODY_FIRST = 4096, RETRY_AFTER_MS = 1000 };

request_t *request_new(struct front *front, http_t *http, struct MHD_Connection *connection,
                       struct connection *peer, const char *target)
{
    request_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->front = front;
    self->http = http;
    self->connection = connection;
    self->peer = peer;
    self->behind = target ? (uintptr_t)target + strlen(target) + 1 : 0;
    if (uri_parse(target ? target : "", &self->uri, &self->wrong) < 0) {
        request_free(self);
        return NULL;
    }
    return self;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    guard_header(arg, slice_make(name, name_size), slice_make(value, value_size));
    return MHD_YES;
}

/* Where libmicrohttpd keeps what came, and what it changed of it. */
static bool layout_known(void)
{
    return strncmp(MHD_get_version(), "0.9.7", 5) == 0;
}

/* Everything behind the request line as it came, but for colons and ends of lines, which
 * libmicrohttpd has made NULs, in place. Empty where that cannot be told. */
static struct slice block_of(const char *method, const char *version, size_t header_size)
{
    const uintptr_t start = (uintptr_t)method, at = (uintptr_t)version;
    if (!layout_known() || at < start || at >= start + header_size)
        return (struct slice){ 0 };
    const size_t line = (size_t)(at - start) + strlen(version);
    return line < header_size ? slice_make(method + line, header_size - line) : (struct slice){ 0 };
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

/* Parameters behind the type may be anything; NULL is none. */
static bool is_type(const char *type, const char *wanted)
{
    const size_t size = type ? strcspn(type, "; \t") : 0;
    return size > 0 && size == strlen(wanted) && strncasecmp(type, wanted, size) == 0;
}

static void look_at_type(request_t *self)
{
    const struct route *row = self->match.route;
    const char *type = request_header(self, "Content-Type");
    const char *wanted = row->body_type;
    if (wanted ? !is_type(type, wanted) : row->body && type && !is_json(type))
        request_refuse(self, 415, 0, "the body is to be %s", wanted ? wanted : "application/json");
}

/* A streamed one has a file of front.upload_bytes, and what is around it. */
static uint64_t body_max_of(const request_t *self)
{
    const struct settings *settings = self->front->settings;
    const struct route *row = self->match.route;
    return (uint64_t)settings->front_body_bytes +
           (row && row->streamed ? (uint64_t)settings->front_upload_bytes : 0);
}

static void look_at_route(request_t *self, const char *method, const struct guard *guard)
{
    char allow[ROUTE_ALLOW_SIZE];
    const int http = route_find(method, self->uri.path, &self->match, allow);
    if (http == 404)
        request_refuse(self, 404, 0, "there is nothing at %.200s", self->uri.path);
    else if (http == 405)
        refuse_method(self, method, allow);
    else if (guard->length > body_max_of(self))
        request_refuse(self, 413, 0, "the body is larger than %llu bytes",
                       (unsigned long long)body_max_of(self));
    else
        look_at_type(self);
}

static void handle(request_t *self)
{
    self->state = REQUEST_HANDLED;
    http_move(self->http, self->peer, self->streamed ? CONNECTION_TAKING : CONNECTION_HANDLED);
    if (self->front->client)
        self->match.route->handle(self);
    else
        request_refuse(self, 503, RETRY_AFTER_MS, "the service stops");
}

/* What can be said before the body comes. */
static void begin(request_t *self, const char *method, const char *version)
{
    struct guard guard = { .wrong = self->wrong };
    const struct settings *settings = self->front->settings;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(self->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const size_t header_size = info ? info->header_size : 0;
    self->begun = true;
    if (layout_known() && self->behind && self->behind != (uintptr_t)version)
        guard.wrong = "the address has a NUL";
    trace_fill(&self->trace, request_header(self, "X-Request-Id"),
               request_header(self, "traceparent"));
    self->peer->trace = &self->trace;
    (void)MHD_get_connection_values_n(self->connection, MHD_HEADER_KIND, on_header, &guard);
    guard_block(&guard, block_of(method, version, header_size));
    guard_end(&guard, version);
    if (guard.wrong)
        request_refuse(self, 400, 0, "%s", guard.wrong);
    else if (header_size > (size_t)settings->front_header_bytes)
        request_refuse(self, 431, 0, "request line and headers are larger than %lld bytes",
                       (long long)settings->front_header_bytes);
    else
        look_at_route(self, method, &guard);
    self->head = strcmp(method, "HEAD") == 0;
    self->length = guard.encodings ? UINT64_MAX : guard.length;
    self->streamed = self->state == REQUEST_ARRIVING && self->match.route->streamed;
    if (self->streamed) {
        handle(self);
        return;
    }
    /* The others are answered behind their bodies, so that their connections live on. */
    self->early = self->state == REQUEST_ANSWERED &&
                  (guard.wrong || guard.length > (uint64_t)settings->front_body_bytes ||
                   self->answer == 431 || request_header(self, "Expect"));
}

/* Room for so much more of the body. 0, STATUS_BUSY or -ENOMEM. */
static int reserve(request_t *self, size_t size)
{
    struct front *front = self->front;
    size_t room = self->room ? self->room : BODY_FIRST;
    while (room < self->size + size)
        room *= 2;
    if (room == self->room)
        return 0;
    if (room - self->room > (size_t)front->settings->front_bodies_bytes - front->bodies)
        return STATUS_BUSY;
    char *body = realloc(self->body, room);
    if (!body)
        return -ENOMEM;
    front->bodies += room - self->room;
    self->body = body;
    self->room = room;
    return 0;
}

/* The rest of its body is thrown away, so that its connection lives on. */
static void refuse_crowded(request_t *self)
{
    request_drop_body(self);
    request_refuse(self, 503, RETRY_AFTER_MS, "too many bodies come at once");
}

/* Of what is refused already nothing is kept. */
static bool take(request_t *self, const char *data, size_t size)
{
    if (size > (size_t)self->front->settings->front_body_bytes - self->size) {
        connection_last_words(self->peer, 413, "the body is too large");
        self->peer->rude = true;
        return false;
    }
    int r = self->state == REQUEST_ARRIVING ? reserve(self, size) : 0;
    if (r < 0)
        return false;
    if (r)
        refuse_crowded(self);
    if (self->state == REQUEST_ARRIVING)
        memcpy(self->body + self->size, data, size);
    self->size += size;
    return true;
}

void request_sleep(request_t *self)
{
    self->asleep = true;
    self->peer->held_up = true;
    MHD_suspend_connection(self->connection);
}

bool request_proceed(request_t *self)
{
    if (self->state == REQUEST_HANDLED && http_closing(self->http))
        return false;
    if (self->state == REQUEST_HANDLED) {
        request_sleep(self);
        return true;
    }
    if (self->queued)
        return true;
    if (!self->response)
        return false;
    self->queued = true;
    self->peer->rude = self->early;
    if (http_crowded(self->http))
        request_header_add(self->response, "Connection", "close");
    http_move(self->http, self->peer, CONNECTION_ANSWERING);
    return MHD_queue_response(self->connection, self->answer, self->response) == MHD_YES;
}

bool request_receive(request_t *self, const char *method, const char *version, const char *data,
                     size_t *size)
{
    const bool first = !self->begun;
    if (first)
        begin(self, method, version);
    if (self->streamed)
        return intake_receive(self, data, size);
    if (first)
        return !self->early || request_proceed(self);
    const size_t given = *size;
    *size = 0;
    if (given)
        return take(self, data, given);
    if (self->state == REQUEST_ARRIVING)
        handle(self);
    return request_proceed(self);
}

void request_over(request_t *self)
{
    if (self->response)
        MHD_destroy_response(self->response);
    self->response = NULL;
    self->connection = NULL;
    self->peer = NULL;
    if (self->state == REQUEST_HANDLED)
        intake_cut(self); /* whoever answers it frees it */
    else
        request_free(self);
}
