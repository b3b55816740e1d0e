#include "services/state/store.h"

#include "common/log.h"
#include "common/status.h"

#include "services/state/functions/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES_IN_FLIGHT_MAX = 256 << 20, MAJOR = 1000 };

struct store {
    struct store_options options;
    redis_t *redis;
    bool ready;
    const char *durability;
    struct command command;
};

static void look_at_version(store_t *self);

static bool starts(struct slice text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && memcmp(text.data, with, size) == 0;
}

/* Redis itself has lost the library, by FUNCTION FLUSH or by a restart without its data. */
static bool function_missing(struct slice error)
{
    return starts(error, "ERR Function not found");
}

static bool not_now(struct slice error)
{
    static const char *const away[] = { "LOADING",    "MASTERDOWN", "CLUSTERDOWN", "BUSY",
                                        "NOREPLICAS", "TRYAGAIN",   "MISCONF" };
    for (size_t i = 0; i < sizeof away / sizeof *away; i++)
        if (starts(error, away[i]))
            return true;
    return false;
}

static int judge(void *arg, struct slice error)
{
    store_t *self = arg;
    if (starts(error, "OOM"))
        return STATUS_BUSY;
    if (not_now(error)) {
        log_event_seldom(LOG_LEVEL_WARN, "store_refuses", "why=%.*s", SLICE_ARG(error));
        return STATUS_UNAVAILABLE;
    }
    if (starts(error, "READONLY")) { /* a replica by now: the address may lead to the new master */
        redis_drop(self->redis, "READONLY");
        return STATUS_UNAVAILABLE;
    }
    if (!function_missing(error))
        return STATUS_INTERNAL;
    if (self->ready) {
        self->ready = false;
        self->options.lost(self->options.arg, "the functions are gone");
        look_at_version(self);
    }
    return STATUS_UNAVAILABLE;
}

/* Starting over, with back-off, is the answer to whatever goes wrong before ready. */
static bool failed(store_t *self, int status, const redisReply *reply)
{
    if (!status && !reply)
        status = STATUS_INTERNAL;
    if (status && reply)
        redis_drop(self->redis, reply->str);
    return status != 0;
}

static void ask(store_t *self, redis_done_fn *done)
{
    if (redis_call(self->redis, command_end(&self->command), done, self))
        redis_drop(self->redis, "too many calls");
}

/* The value behind a name in CONFIG GET's answer. */
static bool setting_is(const redisReply *reply, const char *name, const char *value)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (reply->element[i]->str && strcmp(reply->element[i]->str, name) == 0)
            return reply->element[i + 1]->str && strcmp(reply->element[i + 1]->str, value) == 0;
    return false;
}

static void on_config(void *arg, int status, const redisReply *reply)
{
    store_t *self = arg;
    if (status && !reply)
        return; /* the link is gone */
    self->durability = "memory";
    if (status == 0 && setting_is(reply, "appendonly", "yes")) { /* CONFIG may be forbidden */
        if (setting_is(reply, "appendfsync", "always"))
            self->durability = "always";
        else if (setting_is(reply, "appendfsync", "everysec"))
            self->durability = "everysec";
    }
    if (status == 0 && !setting_is(reply, "maxmemory-policy", "noeviction"))
        log_event(LOG_LEVEL_WARN, "store_may_evict",
                  "redis=%s why=\"maxmemory-policy is not noeviction: a full Redis drops records\"",
                  self->options.settings->redis_addr);
    self->ready = true;
    self->options.ready(self->options.arg);
}

static void look_at_config(store_t *self)
{
    command_begin(&self->command);
    command_text(&self->command, "CONFIG");
    command_text(&self->command, "GET");
    command_text(&self->command, "append*");
    command_text(&self->command, "maxmemory-policy");
    ask(self, on_config);
}

static void on_loaded(void *arg, int status, const redisReply *reply)
{
    store_t *self = arg;
    if (!failed(self, status, reply))
        look_at_config(self);
}

static void load(store_t *self)
{
    command_begin(&self->command);
    command_text(&self->command, "FUNCTION");
    command_text(&self->command, "LOAD");
    command_text(&self->command, "REPLACE");
    command_arg(&self->command, slice_make(functions_text, functions_size));
    ask(self, on_loaded);
}

static void on_old_records(void *arg, int status, const redisReply *reply)
{
    store_t *self = arg;
    if (failed(self, status, reply))
        return;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        load(self);
    else
        redis_drop(self->redis, "Redis has records of an older Gantry, which this one cannot read: "
                                "finish them with that, or empty it");
}

/* Functions of a former major version keep records otherwise. */
static void look_at_records(store_t *self)
{
    (void)store_plain(self, "EXISTS", "ledger");
    ask(self, on_old_records);
}

static void on_version(void *arg, int status, const redisReply *reply)
{
    store_t *self = arg;
    if (reply && reply->type == REDIS_REPLY_ERROR &&
        function_missing(slice_make(reply->str, reply->len))) {
        load(self);
        return;
    }
    if (failed(self, status, reply))
        return;
    const long long major = reply->type == REDIS_REPLY_INTEGER ? reply->integer / MAJOR : 0;
    if (major < FUNCTIONS_VERSION / MAJOR)
        look_at_records(self);
    else if (reply->integer < FUNCTIONS_VERSION)
        load(self);
    else if (major > FUNCTIONS_VERSION / MAJOR)
        redis_drop(self->redis, "Redis has functions of a newer Gantry: upgrade this one");
    else
        look_at_config(self);
}

static void look_at_version(store_t *self)
{
    store_begin(self, &self->command, "version");
    ask(self, on_version);
}

static void on_connected(void *arg)
{
    look_at_version(arg);
}

static void on_lost(void *arg, const char *why)
{
    store_t *self = arg;
    self->ready = false;
    self->options.lost(self->options.arg, why);
}

store_t *store_new(const struct store_options *options)
{
    const struct settings *settings = options->settings;
    store_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    self->durability = "memory";
    const struct redis_options redis = {
        .loop = options->loop,
        .addr = settings->redis_addr,
        .password = settings->redis_password,
        .db = settings->redis_db,
        .timeout_ms = settings->redis_timeout_ms,
        .calls_max = (size_t)settings->state_redis_calls_max,
        .bytes_max = BYTES_IN_FLIGHT_MAX,
        .connected = on_connected,
        .lost = on_lost,
        .judge = judge,
        .arg = self,
    };
    self->redis = redis_new(&redis);
    if (!self->redis)
        store_destroy(&self);
    return self;
}

void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->ready = false;
    redis_destroy(&self->redis);
    command_clear(&self->command);
    free(self);
}

void store_begin(const store_t *self, struct command *command, const char *name)
{
    char function[64];
    snprintf(function, sizeof function, "gantry_%s", name);
    command_begin(command);
    command_text(command, "FCALL");
    command_text(command, function);
    command_text(command, "1");
    command_text(command, self->options.settings->redis_shard);
}

struct command *store_function(store_t *self, const char *name)
{
    store_begin(self, &self->command, name);
    return &self->command;
}

struct command *store_plain(store_t *self, const char *name, const char *key)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", self->options.settings->redis_shard, key);
    command_begin(&self->command);
    command_text(&self->command, name);
    command_text(&self->command, whole);
    return &self->command;
}

int store_send(store_t *self, struct slice command, redis_done_fn *done, void *arg)
{
    if (!self->ready)
        return STATUS_UNAVAILABLE;
    return redis_call(self->redis, command, done, arg);
}

int store_call(store_t *self, struct command *command, redis_done_fn *done, void *arg)
{
    return store_send(self, command_end(command), done, arg);
}

void store_flush(store_t *self)
{
    redis_flush(self->redis);
}

bool store_ready(const store_t *self)
{
    return self->ready;
}

const char *store_durability(const store_t *self)
{
    return self->durability;
}

size_t store_calls(const store_t *self)
{
    return redis_calls(self->redis);
}
