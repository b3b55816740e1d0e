#include "services/front/parting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/list.h"

struct guest {
    struct link link;
    uv_poll_t poll;
    parting_t *parting;
    int fd;
    size_t left; /* bytes that are still read */
    int64_t due_ms;
};

struct parting {
    uv_loop_t *loop;
    size_t bytes_max;
    size_t count;
    struct link guests; /* the first is due first */
    char scratch[64 << 10];
};

static void on_closed(uv_handle_t *handle)
{
    struct guest *guest = handle->data;
    (void)close(guest->fd);
    free(guest);
}

static void leave(struct guest *guest)
{
    guest->parting->count--;
    link_remove(&guest->link);
    uv_close((uv_handle_t *)&guest->poll, on_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct guest *guest = poll->data;
    parting_t *self = guest->parting;
    const ssize_t size = recv(guest->fd, self->scratch, sizeof self->scratch, MSG_DONTWAIT);
    (void)status;
    (void)events;
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0 || (size_t)size >= guest->left)
        leave(guest);
    else
        guest->left -= (size_t)size;
}

parting_t *parting_new(uv_loop_t *loop, size_t bytes_max)
{
    parting_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->loop = loop;
    self->bytes_max = bytes_max;
    link_init(&self->guests);
    return self;
}

static struct guest *first(const parting_t *self)
{
    struct link *link = link_first(&self->guests);
    return link ? link_owner(link, struct guest, link) : NULL;
}

void parting_destroy(parting_t **self_p)
{
    parting_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (struct guest *guest = first(self); guest; guest = first(self))
        leave(guest);
    free(self);
}

void parting_add(parting_t *self, int fd, int64_t now_ms)
{
    struct guest *guest = self->count < PARTING_SOCKETS_MAX ? calloc(1, sizeof *guest) : NULL;
    if (!guest)
        return;
    guest->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (guest->fd < 0 || uv_poll_init(self->loop, &guest->poll, guest->fd)) {
        if (guest->fd >= 0)
            (void)close(guest->fd);
        free(guest);
        return;
    }
    guest->parting = self;
    guest->left = self->bytes_max;
    guest->due_ms = now_ms + PARTING_MS;
    guest->poll.data = guest;
    link_init(&guest->link);
    link_append(&self->guests, &guest->link);
    self->count++;
    (void)uv_poll_start(&guest->poll, UV_READABLE, on_poll);
}

void parting_tick(parting_t *self, int64_t now_ms)
{
    for (struct guest *guest = first(self); guest && guest->due_ms <= now_ms; guest = first(self))
        leave(guest);
}
