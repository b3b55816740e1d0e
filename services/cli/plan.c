#include "services/cli/plan.h"

#include "common/config.h"
#include "common/scoped.h"
#include "common/slice.h"
#include "common/status.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { SETTINGS_MAX = 24 + TEXTS_MAX, LOG_MOST_BYTES = 16 << 20, NUMBER = 24 };

enum { REDIS_PATIENCE_MS = 60000, PATIENCE_MS = 10000, END_MS = 5000 };

/* By --fused and rank; a rank without a program has no child. */
static const struct part {
    const char *program;
    const char *child;
} parts[2][PLAN_RANKS] = {
    { [PLAN_REDIS] = { "redis-server", "redis" },
      [PLAN_BROKER] = { "gantry-broker", "broker" },
      [PLAN_STATE] = { "gantry-state", "state" },
      [PLAN_WORKER] = { "gantry-worker", "worker" },
      [PLAN_FRONT] = { "gantry-front", "front" } },
    { [PLAN_REDIS] = { "redis-server", "redis" },
      [PLAN_BROKER] = { "gantry-node", "node" },
      [PLAN_WORKER] = { "gantry-worker", "worker" },
      [PLAN_FRONT] = { "gantry-front", "front" } },
};

/* ---- programs ---- */

static bool beside(const char *self, const char *name, char path[PATH_MAX])
{
    const char *slash = strrchr(self, '/');
    int length = snprintf(path, PATH_MAX, "%.*s/%s", slash ? (int)(slash - self) : 0, self, name);
    return length > 0 && length < PATH_MAX && access(path, X_OK) == 0;
}

/* /usr/sbin and /usr/bin as well: a service's PATH can be short. */
static bool in_path(const char *name, char path[PATH_MAX])
{
    const char *given = getenv("PATH");
    char all[PATH_MAX];
    (void)snprintf(all, sizeof all, "%s:/usr/local/bin:/usr/bin:/usr/sbin", given ? given : "/bin");
    char *rest = all;
    for (char *folder; (folder = strsep(&rest, ":"));) {
        int length = snprintf(path, PATH_MAX, "%s/%s", *folder ? folder : ".", name);
        if (length > 0 && length < PATH_MAX && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static int find_programs(const struct cli *cli, plan_t *self)
{
    ssize_t size = readlink("/proc/self/exe", self->self, sizeof self->self - 1);
    if (size < 0)
        return cli_say(cli, CLI_AWAY, "/proc/self/exe: %s", strerror(errno));
    self->self[size] = '\0';
    for (size_t i = 0; i < PLAN_RANKS; i++) {
        const char *name = parts[cli->options.fused][i].program;
        bool ours = i != PLAN_REDIS;
        if (!name || (ours && beside(self->self, name, self->programs[i])) ||
            in_path(name, self->programs[i]))
            continue;
        return cli_say(cli, CLI_AWAY, "%s is not there: %s", name,
                       ours ? "it is built and installed together with gantry"
                            : "install it, on Debian with `apt-get install redis-server`");
    }
    return 0;
}

/* ---- settings ---- */

struct settings_list {
    struct layout_setting items[SETTINGS_MAX];
    size_t count;
};

/* A later one of the same name wins. */
static void put(struct settings_list *list, const char *name, const char *value)
{
    size_t i = 0;
    while (i < list->count && strcmp(list->items[i].name, name) != 0)
        i++;
    if (i == SETTINGS_MAX)
        return;
    list->items[i] = (struct layout_setting){ name, value };
    list->count += i == list->count;
}

/* The environment goes before the file, but what stands here is this system's alone: another Redis
 * in REDIS_ADDR is not meant. */
static void hide_environment(const struct settings_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].value)
            continue;
        char name[128] = "GANTRY_";
        size_t length = strlen(name);
        for (const char *at = list->items[i].name; *at && length < sizeof name - 1; at++)
            name[length++] = (char)(*at == '.' ? '_' : toupper((unsigned char)*at));
        name[length] = '\0';
        (void)unsetenv(name);
    }
    (void)unsetenv("GANTRY_CONFIG");
    (void)unsetenv("REDIS_ADDR");
    (void)unsetenv("REDIS_PASSWORD");
    (void)unsetenv("REDIS_DB");
}

static int put_given(const struct cli *cli, struct settings_list *list, char (*names)[64])
{
    const struct texts *given = &cli->options.settings;
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->items[i], '=');
        if (!equals || !slice_copy(slice_make(given->items[i], (size_t)(equals - given->items[i])),
                                   names[i], 64))
            return cli_say(cli, CLI_USAGE, "--set takes NAME=VALUE, such as lease_ms=5000, not %s",
                           given->items[i]);
        put(list, names[i], equals + 1);
    }
    return 0;
}

/* Adds ",name", after first when there is nothing yet. False when it does not fit. */
static bool append(char text[PATH_MAX], const char *first, struct slice name)
{
    size_t used = strlen(text);
    int length =
        snprintf(text + used, PATH_MAX - used, "%s%.*s", used ? "," : first, SLICE_ARG(name));
    return length >= 0 && (size_t)length < PATH_MAX - used;
}

/* What is not `system` is for the pool; that has a worker of its own, so that what is short, such
 * as a callback, never waits behind media. */
static int share_out(const struct cli *cli, plan_t *self, const char *services)
{
    for (const char *at = services; *at; at += strspn(at, ", ")) {
        struct slice name = slice_make(at, strcspn(at, ", "));
        at += name.size;
        if (name.size == 0)
            continue;
        bool system = slice_is(name, "system");
        self->system |= system;
        if (!append(self->services, "", name) ||
            (!system && !append(self->pool, "--worker-services=", name)))
            return cli_say(cli, CLI_USAGE, "--services: too many of them");
    }
    if (!*self->services)
        return cli_say(cli, CLI_USAGE, "--services names none; --workers 0 starts no worker");
    return 0;
}

static int hold_http(const struct cli *cli, plan_t *self, const char *http)
{
    if (strcmp(http, "off") == 0)
        return 0;
    if (!address_find(http, &self->http))
        return cli_say(
            cli, CLI_USAGE,
            "--http takes ADDRESS:PORT such as 127.0.0.1:8788 or [::1]:0, or off, not %s", http);
    int r = address_hold(&self->http, &self->http_fd);
    if (r == -EADDRINUSE)
        return cli_say(cli, CLI_AWAY,
                       "another program serves on %s: name another address with --http (port 0: "
                       "any free one), or start without HTTP, --http off",
                       http);
    return r ? cli_say(cli, CLI_AWAY, "--http %s: %s", http, strerror(-r)) : 0;
}

static int check_settings(const struct cli *cli, plan_t *self)
{
    char error[CONFIG_ERROR];
    char *none[] = { NULL };
    scoped(config) config = NULL;
    int r = config_load(&config, self->config, 0, none, USED_BY_ALL, error);
    if (r > 0)
        return cli_say(cli, CLI_USAGE, "%s", error);
    if (r < 0)
        return cli_say(cli, CLI_AWAY, "%s: %s", self->config, strerror(-r));
    const struct settings *settings = config_settings(config);
    self->patience_ms[PLAN_REDIS] = REDIS_PATIENCE_MS;
    self->patience_ms[PLAN_BROKER] = self->patience_ms[PLAN_STATE] = PATIENCE_MS;
    self->patience_ms[PLAN_WORKER] = settings->worker_drain_ms + settings->worker_grace_ms + END_MS;
    self->patience_ms[PLAN_FRONT] = settings->front_stop_ms + END_MS;
    self->tls = *settings->front_tls_cert;
    int code = share_out(cli, self, settings->worker_services);
    return code ? code : hold_http(cli, self, settings->front_http);
}

static int write_settings(const struct cli *cli, plan_t *self)
{
    const struct layout *layout = &self->layout;
    char workers[LAYOUT_ENDPOINT];
    char states[LAYOUT_ENDPOINT];
    char status[LAYOUT_ENDPOINT];
    char redis[LAYOUT_ENDPOINT];
    char storage[PATH_MAX];
    char slots[NUMBER];
    char names[TEXTS_MAX][64];
    if (!layout_path(layout, "workflows", storage))
        return cli_say(cli, CLI_USAGE, "%s: the name is too long", layout->dir);
    (void)snprintf(slots, sizeof slots, "%lld", (long long)cli->options.slots);

    struct settings_list list = { .count = 0 };
    put(&list, "broker.clients", layout_endpoint(layout, "clients", self->clients));
    put(&list, "broker.workers", layout_endpoint(layout, "workers", workers));
    put(&list, "broker.states", layout_endpoint(layout, "states", states));
    put(&list, "broker.status", layout_endpoint(layout, "status", status));
    put(&list, "state.brokers", states);
    put(&list, "worker.brokers", workers);
    put(&list, "worker.clients", self->clients);
    put(&list, "front.brokers", self->clients);
    put(&list, "front.http", cli->options.http);
    put(&list, "worker.services", cli->options.services);
    put(&list, "worker.slots", cli->options.slots >= 0 ? slots : NULL);
    put(&list, "redis.addr", layout_redis(layout, redis));
    put(&list, "storage.root", storage);
    put(&list, "storage.input_roots", self->input_roots);
    int code = put_given(cli, &list, names);
    if (code)
        return code;
    hide_environment(&list);
    int r = layout_write_settings(layout, list.items, list.count);
    if (r == 0)
        r = layout_write_redis(layout);
    if (r)
        return cli_say(cli, CLI_AWAY, "%s: %s", layout->dir, strerror(-r));
    return check_settings(cli, self);
}

static int add_root(const struct cli *cli, plan_t *self, const char *given)
{
    char path[PATH_MAX];
    size_t used = strlen(self->input_roots);
    if (!realpath(given, path))
        return cli_say(cli, CLI_USAGE, "--input-root %s: %s", given, strerror(errno));
    if (strchr(path, ','))
        return cli_say(cli, CLI_USAGE,
                       "--input-root %s: a comma in the name separates folders; rename it", given);
    int length = snprintf(self->input_roots + used, sizeof self->input_roots - used, "%s%s",
                          used ? "," : "", path);
    if (length < 0 || (size_t)length >= sizeof self->input_roots - used)
        return cli_say(cli, CLI_USAGE, "--input-root: too many of them");
    return 0;
}

static int resolve_roots(const struct cli *cli, plan_t *self)
{
    const struct texts *given = &cli->options.input_roots;
    if (given->count == 0)
        return add_root(cli, self, ".");
    int code = 0;
    for (size_t i = 0; i < given->count && code == 0; i++)
        code = add_root(cli, self, given->items[i]);
    return code;
}

/* ---- children ---- */

/* A log that grew large is put aside, so that two of a size are the most there is. */
static void turn_log(const char *log)
{
    struct stat about;
    char aside[PATH_MAX];
    int length = snprintf(aside, sizeof aside, "%s.1", log);
    if (length > 0 && length < PATH_MAX && stat(log, &about) == 0 && about.st_size > LOG_MOST_BYTES)
        (void)rename(log, aside);
}

static struct plan_child *add(plan_t *self, int rank, const char *name)
{
    char log[64];
    struct plan_child *child = &self->children[self->count++];
    (void)snprintf(child->name, sizeof child->name, "%s", name);
    (void)snprintf(log, sizeof log, "log/%s.log", name);
    child->rank = rank;
    child->argv[0] = self->programs[rank];
    (void)layout_path(&self->layout, log,
                      child->log); /* longer ones were refused by layout_make() */
    turn_log(child->log);
    return child;
}

/* argv is its program, --config FILE and so many more arguments, which end with NULL. */
static void configure(const plan_t *self, struct plan_child *child, const char *const *arguments)
{
    size_t count = 1;
    child->argv[count++] = "--config";
    child->argv[count++] = self->config;
    for (; *arguments; arguments++)
        child->argv[count++] = *arguments;
}

static void add_worker(plan_t *self, const char *name, const char *services, const char *slots)
{
    struct plan_child *child = add(self, PLAN_WORKER, name);
    (void)snprintf(child->flag, sizeof child->flag, "--worker-name=%s", name);
    configure(self, child, (const char *[]){ child->flag, services, slots, NULL });
    self->workers++;
}

static void add_front(plan_t *self, const char *name)
{
    char address[ADDRESS_TEXT];
    struct plan_child *child = add(self, PLAN_FRONT, name);
    (void)snprintf(child->flag, sizeof child->flag, "--front-http=%s",
                   address_print(&self->http, address));
    configure(self, child, (const char *[]){ child->flag, NULL });
}

static void add_children(const struct part *ranks, plan_t *self, size_t workers)
{
    add(self, PLAN_REDIS, ranks[PLAN_REDIS].child)->argv[1] = self->redis_conf;
    for (int rank = PLAN_BROKER; rank <= PLAN_STATE; rank++)
        if (ranks[rank].program)
            configure(self, add(self, rank, ranks[rank].child), (const char *[]){ NULL });
    for (size_t i = 1; i <= workers && *self->pool; i++) {
        char name[NUMBER];
        (void)snprintf(name, sizeof name, "%s-%zu", ranks[PLAN_WORKER].child, i);
        add_worker(self, name, self->pool, NULL);
    }
    if (workers && self->system)
        add_worker(self, "system", "--worker-services=system", "--worker-slots=64");
    if (self->http.size)
        add_front(self, ranks[PLAN_FRONT].child);
}

static int fill(const struct cli *cli, plan_t *self)
{
    int64_t workers = cli->options.workers < 0 ? 1 : cli->options.workers;
    if (workers > PLAN_WORKERS_MAX)
        return cli_say(cli, CLI_USAGE, "--workers: at most %d on one machine", PLAN_WORKERS_MAX);
    if (!layout_path(&self->layout, "gantry.yaml", self->config) ||
        !layout_path(&self->layout, "redis/redis.conf", self->redis_conf) ||
        !layout_path(&self->layout, "redis/up.lock", self->redis_lock))
        return cli_say(cli, CLI_USAGE, "%s: the name is too long", self->layout.dir);
    int code = resolve_roots(cli, self);
    if (code == 0)
        code = find_programs(cli, self);
    if (code == 0 && chdir(self->layout.dir))
        code = cli_say(cli, CLI_AWAY, "%s: %s", self->layout.dir, strerror(errno));
    if (code == 0)
        code = write_settings(cli, self);
    if (code == 0)
        add_children(parts[cli->options.fused], self, (size_t)workers);
    return code;
}

int plan_new(const struct cli *cli, const struct layout *layout, plan_t **ret_plan)
{
    scoped(plan) self = calloc(1, sizeof *self);
    if (!self)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    self->layout = *layout;
    self->http_fd = -1;
    int code = fill(cli, self);
    if (code)
        return code;
    *ret_plan = self;
    self = NULL; /* the caller's now */
    return 0;
}

void plan_destroy(plan_t **self_p)
{
    plan_t *self = *self_p;
    *self_p = NULL;
    if (self && self->http_fd >= 0)
        (void)close(self->http_fd);
    free(self);
}
