/* What else the real code asks of the world: clocks, chance, timers, the loop, the log. Linked
 * instead of common/'s, libuv's and the C library's. */
#include "broker/broker.h"
#include "common/clock.h"
#include "common/log.h"
#include "tests/sim/net.h"
#include "tests/sim/people.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>

static const int64_t epoch_ms = 1700000000000;

int64_t clock_ns(void)
{
    return world.now_us * 1000 + (world.current ? world.current->offset_ms * 1000000 : 0);
}

int64_t clock_ms(void)
{
    return local_ms(world.current);
}

int64_t clock_wall_ms(void)
{
    return epoch_ms + world.now_us / 1000;
}

const char *clock_text(int64_t wall_ms, char *text)
{
    (void)snprintf(text, CLOCK_TEXT, "%lld", (long long)wall_ms);
    return text;
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    uint8_t *at = bytes;
    (void)flags;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)roll_bits();
    return (ssize_t)size;
}

/* ---- a broker's loop ---- */

struct zsource {
    struct zsource *next;
    const void *socket;
    zsource_read_fn *read;
    void *arg;
};

uv_loop_t *program_loop(program_t *self)
{
    (void)self;
    return NULL;
}

void program_raise_files(const char *setting, int64_t wanted, const char *why)
{
    (void)setting;
    (void)wanted;
    (void)why;
}

zhub_t *program_hub(program_t *self)
{
    (void)self;
    return NULL;
}

void *program_zmq(program_t *self)
{
    return self;
}

void program_end(program_t *self, int code)
{
    (void)self;
    (void)code;
}

zsource_t *zhub_add(zhub_t *self, void *socket, zsource_read_fn *read, zsource_drained_fn *drained,
                    void *arg)
{
    zsource_t *source = malloc(sizeof *source);
    (void)self;
    (void)drained;
    assert(source);
    *source = (zsource_t){ world.current->sources, socket, read, arg };
    world.current->sources = source;
    return source;
}

void zsource_told(zsource_t *self)
{
    (void)self;
}

void zsource_used(zsource_t *self)
{
    (void)self;
}

void zsource_destroy(zsource_t **self_p)
{
    zsource_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (struct zsource **at = &world.current->sources; *at; at = &(*at)->next) {
        if (*at != self)
            continue;
        *at = self->next;
        free(self);
        return;
    }
}

void sources_read(struct proc *proc)
{
    for (bool any = true; any;) {
        any = false;
        for (struct zsource *s = proc->sources; s; s = s->next)
            any |= sock_readable(s->socket) && s->read(s->arg);
    }
}

/* One timer a process is all there is. */
int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    (void)loop;
    assert(!world.current->timer);
    world.current->timer = timer;
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb fired, uint64_t after_ms, uint64_t repeat_ms)
{
    struct proc *proc = world.current;
    assert(proc->timer == timer);
    proc->timer_fired = fired;
    proc->timer_due_us = world.now_us + (int64_t)after_ms * 1000;
    proc->timer_repeat_us = (int64_t)repeat_ms * 1000;
    return 0;
}

void uv_close(uv_handle_t *handle, uv_close_cb closed)
{
    assert((uv_handle_t *)world.current->timer == handle);
    world.current->timer = NULL;
    closed(handle);
}

/* ---- the log ---- */

__attribute__((format(printf, 2, 0))) static void tell(const char *event, const char *pairs,
                                                       va_list args)
{
    note(event, world.current, 0, 0);
    if (!world.verbose)
        return;
    (void)fputs("           log: ", stdout);
    (void)vprintf(pairs, args);
    (void)puts("");
}

void log_event(enum log_level level, const char *event, const char *pairs, ...)
{
    va_list args;
    (void)level;
    va_start(args, pairs);
    tell(event, pairs, args);
    va_end(args);
}

void log_event_seldom(enum log_level level, const char *event, const char *pairs, ...)
{
    va_list args;
    (void)level;
    va_start(args, pairs);
    tell(event, pairs, args);
    va_end(args);
}
