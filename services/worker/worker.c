#include "services/worker/worker.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/objects/objects_settings.h"
#include "common/paths.h"
#include "common/status.h"
#include "common/storage/storage_settings.h"
#include "proto/attach.h"
#include "proto/worker.h"
#include "services/worker/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    NODES_MAX = 256,
    SERVICES_TEXT = 256,
    AWAY_MS = 5000, /* without a broker for so long: said, and again now and then */
    AWAY_AGAIN_MS = 60000,
    LEAVE_MS = 5000 /* how long the last results may wait for their acknowledgement */
};

struct worker {
    program_t *program;
    const struct settings *settings;
    uv_timer_t patience; /* of a drain */
    bool impatient;      /* the running ones were told to go back */
    bool draining;
    bool ended;
    shop_t *shop;
    gantry_worker_t *gantry;
    attach_t *attach;
    int refused;     /* as logged last */
    int64_t away_ms; /* when the lack of a broker is said next; 0: there is one */
    size_t count;
    struct gantry_node nodes[NODES_MAX];
    struct shop_node shop_nodes[NODES_MAX];
};

/* ---- the loop -------------------------------------------------------------------------------- */

static void end(struct worker *self)
{
    if (self->ended)
        return;
    self->ended = true;
    program_end(self->program, 0);
}

static void look_for_broker(struct worker *self)
{
    const char *why = gantry_worker_away(self->gantry);
    int64_t now_ms = clock_ms();
    if (!why)
        self->away_ms = 0;
    else if (!self->away_ms)
        self->away_ms = now_ms + AWAY_MS;
    else if (now_ms >= self->away_ms) {
        log_event(LOG_LEVEL_WARN, "no_broker", "brokers=%s why=%s", self->settings->worker_brokers,
                  *why ? why : "none answers");
        self->away_ms = now_ms + AWAY_AGAIN_MS;
    }
}

/* What a read or a tick may have changed. */
static void look(struct worker *self)
{
    look_for_broker(self);
    shop_renew(self->shop, gantry_worker_lease_until(self->gantry),
               gantry_worker_confirmed_until(self->gantry));
    int refused = gantry_worker_refused(self->gantry);
    if (refused != self->refused && refused)
        log_event(LOG_LEVEL_ERROR, "nodes_refused", "status=%s", status_name(refused));
    self->refused = refused;
    if (self->draining && gantry_worker_idle(self->gantry))
        end(self);
}

static bool on_read(void *arg, int64_t now_ms)
{
    struct worker *self = arg;
    bool any = gantry_worker_read(self->gantry, now_ms);
    if (any)
        look(self);
    return any;
}

static int64_t on_tick(void *arg, int64_t now_ms)
{
    struct worker *self = arg;
    int64_t due_ms = gantry_worker_tick(self->gantry, now_ms);
    look(self);
    return due_ms;
}

static void on_socket(void *arg, void *socket)
{
    struct worker *self = arg;
    if (self->attach)
        attach_socket(self->attach, socket);
}

static void on_ended(void *arg)
{
    struct worker *self = arg;
    if (self->attach)
        attach_wake(self->attach);
}

static void on_rest(void *arg, int64_t rest_ms)
{
    struct worker *self = arg;
    if (self->gantry)
        gantry_worker_rest(self->gantry, rest_ms);
}

/* ---- draining -------------------------------------------------------------------------------- */

static void on_leave(uv_timer_t *timer)
{
    struct worker *self = timer->data;
    log_event(LOG_LEVEL_WARN, "left_unacknowledged", "jobs=%u", gantry_worker_jobs(self->gantry));
    end(self);
}

static void on_impatient(uv_timer_t *timer)
{
    struct worker *self = timer->data;
    gantry_worker_stop_jobs(self->gantry, GANTRY_STOP_DRAIN);
    attach_wake(self->attach);
    (void)uv_timer_start(timer, on_leave, (uint64_t)self->settings->worker_grace_ms + LEAVE_MS, 0);
}

static void worker_stop(void *arg)
{
    struct worker *self = arg;
    self->draining = true;
    gantry_worker_drain(self->gantry);
    (void)uv_timer_start(&self->patience, on_impatient, (uint64_t)self->settings->worker_drain_ms,
                         0);
    attach_wake(self->attach);
}

/* ---- start ----------------------------------------------------------------------------------- */

static int wrong(const char *event, const char *what, int problem)
{
    log_event(LOG_LEVEL_ERROR, event, "what=%s why=%s", what, strerror(-problem));
    return problem;
}

/* Nodes that are there can be closed, so it counts as there first. */
static int add_node(struct worker *self, const struct shop_row *shop, const struct node_row *row)
{
    const size_t at = self->count++;
    self->shop_nodes[at] = (struct shop_node){ .shop = self->shop, .row = row };
    self->nodes[at] = (struct gantry_node){
        .name = row->name,
        .doc = row->doc,
        .inputs = row->inputs,
        .inputs_count = row->inputs_count,
        .outputs = row->outputs,
        .key = row->key,
        .timeout_ms = row->timeout_ms,
        .failures_max = row->failures_max,
        .crashes_max = row->crashes_max,
        .retry_ms = row->retry_ms,
        .space = row->space,
        .run = run_begin,
        .stop = row->run ? NULL : run_stop,
        .arg = &self->shop_nodes[at],
    };
    return row->async ? row->async->open(shop, &self->shop_nodes[at].shared) : 0;
}

static int add_service(struct worker *self, const struct shop_row *shop, struct slice name)
{
    const struct node_table *table = nodes_of_service(name);
    if (!table) {
        char known[SERVICES_TEXT];
        log_event(LOG_LEVEL_ERROR, "service_unknown", "setting=worker.services what=%.*s known=%s",
                  SLICE_ARG(name), nodes_services(known, sizeof known));
        return -EINVAL;
    }
    for (size_t i = 0; i < table->count; i++) {
        if (self->count == NODES_MAX)
            return wrong("too_many_nodes", table->service, -E2BIG);
        int r = add_node(self, shop, &table->rows[i]);
        if (r)
            return r;
    }
    return 0;
}

/* "ffmpeg,system": in the order given, each once. */
static int add_services(struct worker *self, const struct shop_row *shop)
{
    for (const char *at = shop->settings->worker_services; *at;) {
        size_t size = strcspn(at, ", ");
        struct slice name = slice_make(at, size);
        bool known = false;
        for (size_t i = 0; i < self->count && !known; i++)
            known = slice_equal(task_name_service(slice_of(self->nodes[i].name)), name);
        int r = size && !known ? add_service(self, shop, name) : 0;
        if (r)
            return r;
        at += size;
        at += strspn(at, ", ");
    }
    return self->count ? 0 : wrong("no_service", "worker.services is empty", -EINVAL);
}

/* The programs that run tasks lie beside this one. */
static int find_programs(char folder[PATH_MAX])
{
    static const char *const names[] = { "gantry-exec", "gantry-engine" };
    size_t size = PATH_MAX;
    int r = uv_exepath(folder, &size);
    char *slash = r ? NULL : strrchr(folder, '/');
    if (!slash)
        return wrong("no_folder_of_programs", "gantry-worker", r ? r : -ENOENT);
    *slash = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_MAX + 32];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (access(path, X_OK) != 0)
            return wrong("no_program", path, -errno);
    }
    return 0;
}

/* Who only runs within this process makes no task's folder. */
static int check_root(const struct worker *self)
{
    bool makes = false;
    for (size_t i = 0; i < self->count; i++)
        makes |= !self->shop_nodes[i].row->run && !self->shop_nodes[i].row->async;
    return makes ? storage_check_root(self->settings, true) : 0;
}

static int connect_broker(struct worker *self)
{
    const struct settings *settings = self->settings;
    const struct gantry_worker_options options = {
        .brokers = settings->worker_brokers,
        .name = *settings->worker_name ? settings->worker_name : NULL,
        .slots = (uint32_t)settings->worker_slots,
        .nodes = self->nodes,
        .nodes_count = self->count,
    };
    const struct attach_row row = { .read = on_read, .tick = on_tick, .arg = self };
    self->gantry = gantry_worker_new(&options);
    if (!self->gantry)
        return wrong("worker_refused", "worker.brokers or worker.services", -EINVAL);
    gantry_worker_watch(self->gantry, on_socket, self);
    self->attach = attach_new(program_hub(self->program), program_loop(self->program), &row);
    return self->attach ? 0 : wrong("start_failed", "the loop", -ENOMEM);
}

static int worker_start(program_t *program, const struct settings *settings, void **ret_self)
{
    char programs[PATH_MAX];
    int r = objects_settings_check(settings);
    if (r == 0)
        r = find_programs(programs);
    if (r)
        return r;
    struct worker *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    *ret_self = self;
    self->program = program;
    self->settings = settings;
    (void)uv_timer_init(program_loop(program), &self->patience);
    self->patience.data = self;
    const struct shop_row row = { .loop = program_loop(program),
                                  .hub = program_hub(program),
                                  .settings = settings,
                                  .programs = programs,
                                  .ended = on_ended,
                                  .rest = on_rest,
                                  .arg = self };
    self->shop = shop_new(&row);
    if (!self->shop)
        return wrong("start_failed", "the shop", -ENOMEM);
    r = add_services(self, &row);
    if (r == 0)
        r = check_root(self);
    return r ? r : connect_broker(self);
}

static void on_patience_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void worker_destroy(void *arg)
{
    struct worker *self = arg;
    shop_destroy(&self->shop);
    attach_destroy(&self->attach);
    gantry_worker_destroy(&self->gantry);
    for (size_t i = 0; i < self->count; i++)
        if (self->shop_nodes[i].shared)
            self->shop_nodes[i].row->async->close(self->shop_nodes[i].shared);
    uv_close((uv_handle_t *)&self->patience, on_patience_closed);
}

const struct program_row worker_program = {
    .name = "gantry-worker",
    .summary = "runs the nodes of its services, each in processes of its own",
    .examples =
        "  gantry-worker --worker-services=ffmpeg --worker-slots=4\n"
        "  gantry-worker --worker-brokers=tcp://10.0.0.5:5560 --storage-root=/share/workflows\n",
    .used_by = USED_BY_WORKER,
    .start = worker_start,
    .stop = worker_stop,
    .destroy = worker_destroy,
};
