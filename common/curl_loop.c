#include "common/curl_loop.h"

#include <errno.h>
#include <stdlib.h>

struct curl_loop {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t timer; /* what libcurl wants to be woken for */
    curl_loop_ended_fn *ended;
};

/* A socket of libcurl's. */
struct watch {
    uv_poll_t poll;
    curl_loop_t *owner;
    curl_socket_t socket;
};

static void end_those_done(curl_loop_t *self)
{
    int left;
    for (CURLMsg *message = curl_multi_info_read(self->multi, &left); message;
         message = curl_multi_info_read(self->multi, &left)) {
        char *arg = NULL;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &arg) == CURLE_OK)
            self->ended(arg, message->data.result);
    }
}

static void act(curl_loop_t *self, curl_socket_t socket, int events)
{
    int running;
    (void)curl_multi_socket_action(self->multi, socket, events, &running);
    end_those_done(self);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(watch->owner, watch->socket, flags);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long wait_ms, void *arg)
{
    curl_loop_t *self = arg;
    (void)multi;
    if (wait_ms < 0)
        (void)uv_timer_stop(&self->timer);
    else
        (void)uv_timer_start(&self->timer, on_timer, (uint64_t)wait_ms, 0);
    return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct watch *watch_new(curl_loop_t *owner, curl_socket_t socket)
{
    struct watch *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->owner = owner;
    self->socket = socket;
    self->poll.data = self;
    if (uv_poll_init_socket(owner->loop, &self->poll, socket)) {
        free(self);
        return NULL;
    }
    (void)curl_multi_assign(owner->multi, socket, self);
    return self;
}

static int on_socket_wanted(CURL *easy, curl_socket_t socket, int what, void *arg, void *watch_p)
{
    curl_loop_t *self = arg;
    struct watch *watch = watch_p;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)curl_multi_assign(self->multi, socket, NULL);
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        return 0;
    }
    if (!watch)
        watch = watch_new(self, socket);
    if (!watch)
        return -1; /* libcurl ends all transfers; new ones may begin behind them */
    const int events =
        ((what & CURL_POLL_IN) ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_ready) ? -1 : 0;
}

curl_loop_t *curl_loop_new(uv_loop_t *loop, curl_loop_ended_fn *ended)
{
    curl_loop_t *self = calloc(1, sizeof *self);
    if (!self || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(self);
        return NULL;
    }
    self->loop = loop;
    self->ended = ended;
    (void)uv_timer_init(loop, &self->timer);
    self->timer.data = self;
    self->multi = curl_multi_init();
    if (!self->multi) {
        curl_loop_destroy(&self);
        return NULL;
    }
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    (void)curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    (void)curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    return self;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void curl_loop_destroy(curl_loop_t **self_p)
{
    curl_loop_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    (void)curl_multi_cleanup(self->multi);
    uv_close((uv_handle_t *)&self->timer, on_closed);
}

int curl_loop_add(curl_loop_t *self, CURL *easy)
{
    return curl_multi_add_handle(self->multi, easy) ? -ENOMEM : 0;
}

void curl_loop_remove(curl_loop_t *self, CURL *easy)
{
    (void)curl_multi_remove_handle(self->multi, easy);
}
