#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "services/front/request_own.h"

/* What a peer that reads slowly may lag behind. */
enum { STREAM_MAX = 256 << 10, STREAM_FIRST = 1024, STREAM_BLOCK = 4096 };

struct stream {
    request_closed_fn *closed;
    void *arg;
    char *text;
    size_t from; /* what stands before is sent */
    size_t size;
    size_t room;
    bool ended;
    bool dropped;
};

static void wake(request_t *self)
{
    if (!self->asleep || !self->connection)
        return;
    self->asleep = false;
    MHD_resume_connection(self->connection);
    http_wake(self->http);
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
    if (size == 0 && self->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (size == 0) {
        request->asleep = true;
        MHD_suspend_connection(request->connection);
        return 0;
    }
    memcpy(to, self->text + self->from, size);
    self->from += size;
    if (self->from == self->size)
        self->from = self->size = 0;
    return (ssize_t)size;
}

void request_stream(request_t *self, request_closed_fn *closed, void *arg)
{
    struct stream *stream = calloc(1, sizeof *stream);
    struct MHD_Response *response =
        stream
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_read, self, NULL)
            : NULL;
    if (stream)
        *stream = (struct stream){ .closed = closed, .arg = arg };
    self->stream = stream;
    if (response) {
        request_header_add(response, "Content-Type", "text/event-stream");
        request_header_add(response, "Cache-Control", "no-store");
        request_header_add(response, "X-Accel-Buffering", "no"); /* nginx would gather it */
    }
    request_respond(self, 200, response);
}

/* Makes room behind what is there. */
static bool reserve(struct stream *self, size_t size)
{
    if (self->from) {
        memmove(self->text, self->text + self->from, self->size - self->from);
        self->size -= self->from;
        self->from = 0;
    }
    if (size > STREAM_MAX - self->size)
        return false;
    size_t room = self->room ? self->room : STREAM_FIRST;
    while (room < self->size + size)
        room *= 2;
    char *text = room == self->room ? self->text : realloc(self->text, room);
    if (!text)
        return false;
    self->text = text;
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
    if (!reserve(stream, text.size)) {
        stream->dropped = true;
        wake(self);
        return false;
    }
    memcpy(stream->text + stream->size, text.data, text.size);
    stream->size += text.size;
    wake(self);
    return true;
}

void request_end(request_t *self)
{
    self->stream->ended = true;
    wake(self);
}

void stream_over(request_t *self)
{
    struct stream *stream = self->stream;
    self->stream = NULL;
    stream->closed(stream->arg);
    free(stream->text);
    free(stream);
}
