#include "services/front/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/storage/storage_settings.h"
#include "proto/attach.h"
#include "services/front/files.h"
#include "services/front/health.h"
#include "services/front/http.h"
#include "services/front/metrics.h"

/* struct front is what handlers see of it. */
struct service {
    struct front front;
    http_t *http;
    attach_t *attach;
    uv_timer_t patience; /* how long requests under way may last once it is told to stop */
    bool closed;         /* only what is in the pool still refers to it */
};

/* Uploads make the root; without a store there are none. */
static int check_storage(const struct settings *settings)
{
    int r = storage_check_marks(settings);
    if (r == 0 && *settings->objects_endpoint)
        r = storage_check_root(settings, true);
    return r;
}

static int check(const struct settings *settings)
{
    const char *stages = settings->reuse_result_stages;
    if (strcmp(stages, "all") == 0 || strcmp(stages, "requested") == 0)
        return check_storage(settings);
    log_event(LOG_LEVEL_ERROR, "setting_wrong", "setting=%s what=%s known=%s",
              "reuse.result_stages", stages, "all, requested");
    return -EINVAL;
}

static void on_socket(void *arg, void *socket)
{
    struct service *self = arg;
    attach_socket(self->attach, socket);
}

static bool on_read(void *arg, int64_t now_ms)
{
    struct service *self = arg;
    return gantry_client_read(self->front.client, now_ms);
}

static int64_t on_tick(void *arg, int64_t now_ms)
{
    struct service *self = arg;
    return gantry_client_tick(self->front.client, now_ms);
}

static void wake(struct front *front)
{
    struct service *self = (struct service *)front;
    attach_wake(self->attach);
}

static int start_client(struct service *self)
{
    program_t *program = self->front.program;
    const struct attach_row row = { .read = on_read, .tick = on_tick, .arg = self };
    self->front.client = gantry_client_new(self->front.settings->front_brokers);
    if (!self->front.client) {
        log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", "front.brokers names no endpoint");
        return -EINVAL;
    }
    self->attach = attach_new(program_hub(program), program_loop(program), &row);
    if (!self->attach)
        return -ENOMEM;
    gantry_client_watch(self->front.client, on_socket, self);
    return 0;
}

/* Nothing is in the pool any more. */
static void rest(struct front *front)
{
    struct service *self = (struct service *)front;
    if (!self->closed)
        return;
    files_destroy(&front->files);
    free(self);
}

static int start(program_t *program, const struct settings *settings, void **ret_self)
{
    struct service *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    *ret_self = self;
    self->front = (struct front){ .settings = settings,
                                  .program = program,
                                  .wake = wake,
                                  .loop = program_loop(program),
                                  .rest = rest };
    (void)uv_timer_init(program_loop(program), &self->patience);
    self->patience.data = self;
    int r = check(settings);
    if (r)
        return r;
    program_raise_files("front.connections_max", settings->front_connections_max,
                        "connections beyond the files that may be open wait: raise the hard limit");
    self->front.health = health_new(&self->front);
    self->front.metrics = metrics_new(&self->front);
    if (!self->front.health || !self->front.metrics)
        return -ENOMEM;
    r = files_new(&self->front, &self->front.files);
    if (r == 0)
        r = start_client(self);
    return r ? r : http_new(&self->front, &self->http);
}

static void on_ended(void *arg)
{
    struct service *self = arg;
    program_end(self->front.program, 0);
}

static void on_impatient(uv_timer_t *timer)
{
    on_ended(timer->data);
}

static void stop(void *arg)
{
    struct service *self = arg;
    self->front.stopping = true;
    (void)uv_timer_start(&self->patience, on_impatient,
                         (uint64_t)self->front.settings->front_stop_ms, 0);
    http_stop(self->http, on_ended, self);
}

static void on_closed(uv_handle_t *handle)
{
    struct service *self = handle->data;
    self->closed = true;
    if (self->front.calls == 0)
        rest(&self->front);
}

static void destroy(void *arg)
{
    struct service *self = arg;
    self->front.stopping = true;
    gantry_client_t *client = self->front.client;
    gantry_client_destroy(&client); /* what is still under way is answered, by who asks it why */
    self->front.client = NULL;
    attach_destroy(&self->attach);
    http_destroy(&self->http);
    if (self->front.files)
        files_stop(self->front.files);
    health_destroy(&self->front.health);
    metrics_destroy(&self->front.metrics);
    uv_close((uv_handle_t *)&self->patience, on_closed);
}

const struct program_row front_program = {
    .name = "gantry-front",
    .summary = "HTTP in front of Gantry's brokers",
    .examples = "  gantry-front --config /etc/gantry.yaml\n"
                "  gantry-front --front-http 127.0.0.1:8788 --front-brokers "
                "tcp://127.0.0.1:7470\n",
    .used_by = USED_BY_FRONT,
    .start = start,
    .stop = stop,
    .destroy = destroy,
};
