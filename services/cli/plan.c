#include "services/cli/plan.h"

#include "common/config.h"
#include "common/scoped.h"
#include "common/slice.h"
#include "common/status.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { SETTINGS_MAX = 16 + TEXTS_MAX, LOG_MOST_BYTES = 16 << 20, END_MS = 5000, NUMBER = 24 };

/* By --fused and rank; a rank without a program has no child. */
static const struct part {
    const char *program;
    const char *child;
} parts[2][PLAN_RANKS] = {
    { [PLAN_REDIS] = { "redis-server", "redis" },
      [PLAN_BROKER] = { "gantry-broker", "broker" },
      [PLAN_STATE] = { "gantry-state", "state" },
      [PLAN_WORKER] = { "gantry-worker", "worker" } },
    { [PLAN_REDIS] = { "redis-server", "redis" },
      [PLAN_BROKER] = { "gantry-node", "node" },
      [PLAN_WORKER] = { "gantry-worker", "worker" } },
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
    self->drain_ms = settings->worker_drain_ms + settings->worker_grace_ms + END_MS;
    return 0;
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
    put(&list, "worker.services", cli->options.services ? cli->options.services : "ffmpeg,system");
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

static void add_children(const struct part *ranks, plan_t *self)
{
    for (int rank = PLAN_REDIS; rank < PLAN_WORKER; rank++) {
        if (!ranks[rank].program)
            continue;
        struct plan_child *child = add(self, rank, ranks[rank].child);
        child->argv[1] = rank == PLAN_REDIS ? self->redis_conf : "--config";
        child->argv[2] = rank == PLAN_REDIS ? NULL : self->config;
    }
    for (size_t i = 1; i <= self->workers; i++) {
        char name[NUMBER];
        (void)snprintf(name, sizeof name, "%s-%zu", ranks[PLAN_WORKER].child, i);
        struct plan_child *child = add(self, PLAN_WORKER, name);
        (void)snprintf(child->flag, sizeof child->flag, "--worker-name=%s", name);
        child->argv[1] = "--config";
        child->argv[2] = self->config;
        child->argv[3] = child->flag;
    }
}

static int fill(const struct cli *cli, plan_t *self)
{
    int64_t workers = cli->options.workers < 0 ? 1 : cli->options.workers;
    if (workers > PLAN_WORKERS_MAX)
        return cli_say(cli, CLI_USAGE, "--workers: at most %d on one machine", PLAN_WORKERS_MAX);
    self->workers = (size_t)workers;
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
        add_children(parts[cli->options.fused], self);
    return code;
}

int plan_new(const struct cli *cli, const struct layout *layout, plan_t **ret_plan)
{
    scoped(plan) self = calloc(1, sizeof *self);
    if (!self)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    self->layout = *layout;
    int code = fill(cli, self);
    if (code)
        return code;
    *ret_plan = self;
    self = NULL; /* the caller's now */
    return 0;
}

void plan_destroy(plan_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}
