#include "services/state/redis_uv.h"

#include <errno.h>
#include <stdlib.h>

struct poll {
    uv_poll_t handle;
    redisAsyncContext *context; /* NULL once hiredis let go of it */
    int events;
};

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *self = handle->data;
    if (status < 0) {
        events = self->events; /* hiredis meets the error by reading or writing, and disconnects */
        self->events = 0;      /* libuv has stopped the handle */
    }
    /* either call may end the context, which clears ours */
    if (self->context && (events & UV_READABLE))
        redisAsyncHandleRead(self->context);
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
    watch(self, self->events | UV_WRITABLE);
}

static void remove_write(void *arg)
{
    struct poll *self = arg;
    watch(self, self->events & ~UV_WRITABLE);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* hiredis closes the descriptor right after. */
static void cleanup(void *arg)
{
    struct poll *self = arg;
    self->context = NULL;
    uv_close((uv_handle_t *)&self->handle, on_closed);
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
    self->handle.data = self;
    self->context = context;
    context->ev.addRead = add_read;
    context->ev.delRead = remove_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = remove_write;
    context->ev.cleanup = cleanup;
    context->ev.data = self;
    return 0;
}
