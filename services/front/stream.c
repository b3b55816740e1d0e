#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "services/front/request_own.h"

/* STREAM_MAX: how far a peer that reads slowly may lag behind. One text alone may be larger. */
enum {
    STREAM_MAX = 256 << 10,
    STREAM_FIRST = 1024,
    STREAM_KEPT = 16 << 10, /* of room, once all is sent: a snapshot may have been megabytes */
    STREAM_BLOCK = 4096,
    PING_MS = 15000
};

struct stream {
    request_closed_fn *closed;
    void *arg;
    char *text;
    size_t from; /* what stands before is sent */
    size_t size;
    size_t room;
    int64_t said_ms;
    bool ended;
    bool dropped;
};

static void let_go(const request_t *request)
{
    struct stream *self = request->stream;
    request_hold(request, 0);
    free(self->text);
    self->text = NULL;
    self->from = self->size = self->room = 0;
}

/* libmicrohttpd asks for more. */
static ssize_t on_read(void *arg, uint64_t position, char *to, size_t most)
{
    request_t *request = arg;
    struct stream *self = request->stream;
    const size_t left = self->size - self->from, size = left < most ? left : most;
    (void)position;
    if (self->dropped)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (size == 0 && (self->ended || http_closing(request->http)))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (size == 0) { /* without sleep it would ask again at once */
        request->asleep = true;
        MHD_suspend_connection(request->connection);
        return 0;
    }
    memcpy(to, self->text + self->from, size);
    self->from += size;
    if (self->from == self->size && self->room > STREAM_KEPT)
        let_go(request);
    return (ssize_t)size;
}

static struct MHD_Response *response_of(request_t *self)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_read, self, NULL);
    if (!response)
        return NULL;
    request_header_add(response, "Content-Type", "text/event-stream");
    request_header_add(response, "Cache-Control", "no-store");
    request_header_add(response, "X-Accel-Buffering", "no"); /* nginx would gather it */
    return response;
}

void request_stream(request_t *self, request_closed_fn *closed, void *arg)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        request_respond(self, 500, NULL);
        closed(arg);
        return;
    }
    *stream = (struct stream){
        .closed = closed, .arg = arg, .said_ms = clock_ms(), .ended = self->front->stopping
    };
    self->stream = stream;
    request_respond(self, 200, response_of(self));
}

/* Room behind what is there. */
static bool reserve(const request_t *request, size_t size)
{
    struct stream *self = request->stream;
    if (self->from) {
        memmove(self->text, self->text + self->from, self->size - self->from);
        self->size -= self->from;
        self->from = 0;
    }
    if (self->size && self->size + size > STREAM_MAX)
        return false;
    size_t room = self->room ? self->room : STREAM_FIRST;
    while (room < self->size + size)
        room *= 2;
    char *text = room == self->room ? self->text : realloc(self->text, room);
    if (!text)
        return false;
    self->text = text;
    if (room != self->room)
        request_hold(request, room);
    self->room = room;
    return true;
}

bool request_send(request_t *self, struct slice text)
{
    struct stream *stream = self->stream;
    if (stream->ended || stream->dropped)
        return false;
    if (text.size == 0)
        return true;
    if (!reserve(self, text.size)) {
        stream_drop(self);
        return false;
    }
    memcpy(stream->text + stream->size, text.data, text.size);
    stream->size += text.size;
    stream->said_ms = clock_ms();
    request_wake(self);
    return true;
}

void request_end(request_t *self)
{
    self->stream->ended = true;
    request_wake(self);
}

void stream_tick(request_t *self, int64_t now_ms)
{
    if (now_ms - self->stream->said_ms >= PING_MS)
        (void)request_send(self, SLICE(": ping\n\n"));
}

void stream_drop(request_t *self)
{
    self->stream->dropped = true;
    connection_drop(self->peer);
    request_wake(self);
}

void stream_over(request_t *self)
{
    struct stream *stream = self->stream;
    self->stream = NULL;
    stream->closed(stream->arg);
    free(stream->text);
    free(stream);
}
