#include "services/worker/callbacks.h"

#include "common/log.h"
#include "proto/attach.h"
#include "proto/client_loop.h"
#include "services/worker/address.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>

struct callbacks {
    struct shop_row shop;
    gantry_client_t *client; /* NULL until the first delivery, as the next two */
    attach_t *attach;
    poster_t *poster;
};

static bool on_read(void *arg, int64_t now_ms)
{
    const callbacks_t *self = arg;
    return gantry_client_read(self->client, now_ms);
}

static int64_t on_tick(void *arg, int64_t now_ms)
{
    const callbacks_t *self = arg;
    return gantry_client_tick(self->client, now_ms);
}

static void on_socket(void *arg, void *socket)
{
    callbacks_t *self = arg;
    if (self->attach)
        attach_socket(self->attach, socket);
}

static int connect_client(callbacks_t *self)
{
    const struct attach_row row = { .read = on_read, .tick = on_tick, .arg = self };
    self->client = gantry_client_new(self->shop.settings->worker_clients);
    if (!self->client)
        return -ENOMEM;
    gantry_client_watch(self->client, on_socket, self);
    self->attach = attach_new(self->shop.hub, self->shop.loop, &row);
    if (!self->attach)
        gantry_client_destroy(&self->client);
    return self->attach ? 0 : -ENOMEM;
}

static int wrong(const char *setting, struct slice what, const char *known)
{
    log_event(LOG_LEVEL_ERROR, "setting_wrong", "setting=%s what=%.*s known=%s", setting,
              SLICE_ARG(what), known);
    return -EINVAL;
}

int callbacks_open(const struct shop_row *shop, void **ret_shared)
{
    const struct settings *settings = shop->settings;
    const struct slice stages = slice_of(settings->reuse_result_stages);
    const struct slice reuse = slice_of(settings->callback_reuse_info);
    const struct slice allow = address_list_wrong(settings->callback_allow);
    if (!*settings->worker_clients)
        return wrong("worker.clients", (struct slice){ "", 0 }, "broker.clients endpoints");
    if (allow.size)
        return wrong("callback.allow", allow, "addresses, networks, host names");
    if (!slice_is(stages, "all") && !slice_is(stages, "requested"))
        return wrong("reuse.result_stages", stages, "all, requested");
    if (!slice_is(reuse, "hits") && !slice_is(reuse, "always"))
        return wrong("callback.reuse_info", reuse, "hits, always");
    if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS)) {
        log_event(LOG_LEVEL_ERROR, "libcurl_unfit", "why=%s", "it looks names up within the loop");
        return -ENOTSUP;
    }
    callbacks_t *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->shop = *shop;
    *ret_shared = self;
    return 0;
}

void callbacks_close(void *shared)
{
    callbacks_t *self = shared;
    attach_destroy(&self->attach);
    gantry_client_destroy(&self->client); /* answers what is still awaited */
    poster_destroy(&self->poster);
    free(self);
}

const struct shop_row *callbacks_shop(const callbacks_t *self)
{
    return &self->shop;
}

poster_t *callbacks_poster(callbacks_t *self)
{
    if (!self->poster)
        self->poster = poster_new(self->shop.loop);
    return self->poster;
}

int callbacks_call(callbacks_t *self, uint32_t verb, struct slice body, int64_t timeout_ms,
                   gantry_called_fn *done, void *arg)
{
    int r = self->client ? 0 : connect_client(self);
    if (r)
        return r;
    const struct gantry_bytes bytes = { body.data, body.size };
    r = gantry_call_begin(self->client, verb, "", bytes, timeout_ms, done, arg);
    attach_wake(self->attach);
    return r;
}
