#include "services/state/redis_uv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* While a reply is incomplete its rest is mostly there already: hiredis reads 16 KB at a time. */
enum { READS_A_WAKE = 64 };

struct poll {
    uv_poll_t handle;
    uv_prepare_t prepare;       /* writes just before the loop sleeps */
    redisAsyncContext *context; /* NULL once hiredis let go of it */
    int events;
    int open;     /* handles not closed yet; 0 frees */
    bool unsaid;  /* there is something to write */
    bool writing; /* hiredis is at it: what it cannot write now waits for the descriptor */
};

static void read_all(struct poll *self)
{
    size_t after = 0;
    for (int i = 0; i < READS_A_WAKE && self->context; i++) {
        const size_t before = after;
        redisAsyncHandleRead(self->context);
        if (!self->context || self->context->c.reader->ridx < 0)
            return; /* no reply is begun */
        after = self->context->c.reader->len - self->context->c.reader->pos;
        if (after == before)
            return;
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *self = handle->data;
    if (status < 0) {
        events = self->events; /* hiredis meets the error by reading or writing, and disconnects */
        self->events = 0;      /* libuv has stopped the handle */
    }
    /* either call may end the context, which clears ours */
    if (self->context && (events & UV_READABLE))
        read_all(self);
    if (self->context && (events & UV_WRITABLE))
        redisAsyncHandleWrite(self->context);
}

static void watch(struct poll *self, int events)
{
    if (events == self->events)
        return;
    self->events = events;
    if (events)
        uv_poll_start(&self->handle, events, on_poll);
    else
        uv_poll_stop(&self->handle);
}

static void add_read(void *arg)
{
    struct poll *self = arg;
    watch(self, self->events | UV_READABLE);
}

static void remove_read(void *arg)
{
    struct poll *self = arg;
    watch(self, self->events & ~UV_READABLE);
}

static void add_write(void *arg)
{
    struct poll *self = arg;
    if ((self->context->c.flags & REDIS_CONNECTED) && !self->writing)
        self->unsaid = true;
    else
        watch(self, self->events | UV_WRITABLE);
}

static void flush(struct poll *self)
{
    if (!self->unsaid || !self->context)
        return;
    self->unsaid = false;
    self->writing = true;
    redisAsyncHandleWrite(self->context);
    self->writing = false;
}

static void on_prepare(uv_prepare_t *prepare)
{
    flush(prepare->data);
}

void redis_uv_flush(redisAsyncContext *context)
{
    flush(context->ev.data);
}

static void remove_write(void *arg)
{
    struct poll *self = arg;
    watch(self, self->events & ~UV_WRITABLE);
}

static void on_closed(uv_handle_t *handle)
{
    struct poll *self = handle->data;
    if (--self->open == 0)
        free(self);
}

/* hiredis closes the descriptor right after. */
static void cleanup(void *arg)
{
    struct poll *self = arg;
    self->context = NULL;
    uv_close((uv_handle_t *)&self->handle, on_closed);
    uv_close((uv_handle_t *)&self->prepare, on_closed);
}

int redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop)
{
    struct poll *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    int r = uv_poll_init(loop, &self->handle, context->c.fd);
    if (r < 0) {
        free(self);
        return r;
    }
    uv_prepare_init(loop, &self->prepare);
    uv_prepare_start(&self->prepare, on_prepare);
    self->handle.data = self->prepare.data = self;
    self->open = 2;
    self->context = context;
    context->ev.addRead = add_read;
    context->ev.delRead = remove_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = remove_write;
    context->ev.cleanup = cleanup;
    context->ev.data = self;
    return 0;
}
