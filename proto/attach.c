#include "proto/attach.h"

#include "common/clock.h"

#include <stdlib.h>

struct attach {
    uv_timer_t timer;
    zhub_t *hub;
    zsource_t *source;
    struct attach_row row;
};

static void tick(attach_t *self);

static bool on_read(void *arg)
{
    attach_t *self = arg;
    return self->row.read(self->row.arg, clock_ms());
}

static void on_drained(void *arg)
{
    attach_t *self = arg;
    if (self->row.drained)
        self->row.drained(self->row.arg);
    tick(self);
}

static void on_timer(uv_timer_t *timer)
{
    tick(timer->data);
}

static void tick(attach_t *self)
{
    int64_t now = clock_ms();
    int64_t due = self->row.tick(self->row.arg, now);
    int64_t wait = due > now ? due - now : 1;
    if (!uv_is_closing((uv_handle_t *)&self->timer))
        uv_timer_start(&self->timer, on_timer, (uint64_t)wait, 0);
}

attach_t *attach_new(zhub_t *hub, uv_loop_t *loop, const struct attach_row *row)
{
    attach_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->hub = hub;
    self->row = *row;
    uv_timer_init(loop, &self->timer);
    self->timer.data = self;
    attach_wake(self);
    return self;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void attach_destroy(attach_t **self_p)
{
    attach_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zsource_destroy(&self->source);
    uv_close((uv_handle_t *)&self->timer, on_closed);
}

void attach_socket(attach_t *self, void *socket)
{
    zsource_destroy(&self->source);
    if (socket)
        self->source = zhub_add(self->hub, socket, on_read, on_drained, self);
    if (self->source && self->row.told)
        zsource_told(self->source);
}

void attach_used(attach_t *self)
{
    if (self->source)
        zsource_used(self->source);
}

void attach_wake(attach_t *self)
{
    uv_timer_start(&self->timer, on_timer, 0, 0);
}
