/* Bodies that are taken as they come. libmicrohttpd calls until it is told to go on to the body
 * (the request is "opened" then), hands out what it has read, and calls once more behind it. An
 * answer may be queued before or behind the body only. */
#include "services/front/request_own.h"

void request_take(request_t *self, const struct request_taker *taker, void *arg)
{
    self->taker = taker;
    self->taker_arg = arg;
    if (self->connection)
        request_wake(self);
    else
        intake_cut(self);
}

void request_more(request_t *self)
{
    if (self->connection)
        request_wake(self);
}

void intake_cut(request_t *self)
{
    const struct request_taker *taker = self->taker;
    self->taker = NULL;
    if (taker)
        taker->cut(self->taker_arg);
}

static uint64_t left_of(const request_t *self)
{
    return self->length == UINT64_MAX ? 0 : self->length - self->size - self->dropped;
}

/* What is left is not worth a connection's life, or may be anything. */
static bool is_long(const request_t *self)
{
    return self->dropped + left_of(self) > (uint64_t)self->front->settings->front_body_bytes;
}

/* The rest of the body of an answered request. */
static bool throw_away(request_t *self, size_t *size)
{
    self->dropped += *size;
    *size = 0;
    if (!is_long(self))
        return true;
    if (self->detail)
        connection_last_words(self->peer, self->answer, self->detail);
    self->peer->rude = true;
    return false;
}

/* Before the body. */
static bool open_body(request_t *self)
{
    if (self->state == REQUEST_HANDLED && !self->taker) {
        request_sleep(self);
        return true;
    }
    self->early =
        self->state == REQUEST_ANSWERED && (is_long(self) || request_header(self, "Expect"));
    self->opened = true;
    return !self->early || request_proceed(self);
}

static bool end_body(request_t *self)
{
    if (!self->whole && self->state == REQUEST_HANDLED) {
        self->whole = true;
        http_move(self->http, self->peer, CONNECTION_WAITING);
        self->taker->whole(self->taker_arg);
    }
    return request_proceed(self);
}

bool intake_receive(request_t *self, const char *data, size_t *size)
{
    size_t taken = 0;
    if (self->peer->over || (self->state == REQUEST_HANDLED && http_closing(self->http)))
        return false;
    if (!self->opened)
        return open_body(self);
    if (*size == 0)
        return end_body(self);
    if (self->state == REQUEST_HANDLED)
        taken = self->taker->part(self->taker_arg, slice_make(data, *size));
    self->size += taken;
    *size -= taken;
    if (self->state == REQUEST_ANSWERED)
        return throw_away(self, size);
    if (*size)
        request_sleep(self);
    return true;
}
