/* Follows the stream of events on a connection of its own, since it blocks: work that is new goes
 * to the brokers as READY, ends to those who wait, transitions to subscribers, new nodes to the
 * catalogue. Entries are numbered without a gap, so whoever missed some knows it; only then is all
 * looked up anew. */
#include "common/log.h"
#include "common/paths.h"
#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/state.h"

#include <stdio.h>

enum { READ_MOST = 256, BLOCK_MOST_MS = 1000, SERVICES_A_READ = 64 };

struct events {
    state_t *state;
    redis_t *redis;
    struct command command;
    int64_t block_ms;
    char key[128];
    bool follows;           /* newest is known: it has been connected once */
    uint64_t newest;        /* number up to which all has been seen */
    struct updates updates; /* of the reply at hand */
    /* services that one answer named; each is told once */
    struct slice services[SERVICES_A_READ];
    size_t services_count;
};

static void read_on(struct events *self);
static void look_at_newest(struct events *self);

static void say_services(struct events *self)
{
    for (size_t i = 0; i < self->services_count; i++)
        state_say_ready(self->state, self->services[i]);
    self->services_count = 0;
}

static void on_service(struct events *self, struct slice service)
{
    for (size_t i = 0; i < self->services_count; i++)
        if (slice_equal(self->services[i], service))
            return;
    if (!service_valid(service))
        return;
    if (self->services_count == SERVICES_A_READ)
        say_services(self);
    self->services[self->services_count++] = service;
}

static void on_entry(struct events *self, const redisReply *entry)
{
    if (!reply_is_array(entry, 2) || entry->element[1]->type != REDIS_REPLY_ARRAY)
        return;
    const redisReply *fields = entry->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const struct slice name = reply_text(fields->element[i]);
        const struct slice value = reply_text(fields->element[i + 1]);
        if (slice_is(name, "q"))
            on_service(self, value);
        else if (slice_is(name, "n"))
            nodes_refresh(self->state);
        else if (slice_is(name, "t"))
            timers_hear(self->state, reply_whole(fields->element[i + 1]));
    }
}

/* [[key, [entry...]]], or nil when nothing came in time. */
static const redisReply *entries_of(const redisReply *reply)
{
    if (!reply_has(reply, 1) || !reply_is_array(reply->element[0], 2))
        return NULL;
    const redisReply *entries = reply->element[0]->element[1];
    return entries->type == REDIS_REPLY_ARRAY ? entries : NULL;
}

/* What happened up to here was not seen. */
static void catch_up(struct events *self)
{
    looks_all(self->state);
    subs_jump(self->state, self->newest);
    if (store_ready(self->state->store))
        nodes_refresh(self->state);
}

static void on_transitions(struct events *self, const redisReply *entries)
{
    struct updates *updates = &self->updates;
    const bool wanted = waits_count(self->state->waits) || self->state->subs_count;
    int r = 0;
    updates_reset(updates);
    if (wanted)
        r = updates_read(updates, entries);
    else
        updates_skim(updates, entries);
    if (r || updates->gap || (updates->entries && updates->first != self->newest + 1)) {
        log_event_seldom(LOG_LEVEL_INFO, "events_missed", "after=%llu",
                         (unsigned long long)self->newest);
        catch_up(self);
    }
    for (size_t i = 0; !r && i < updates->count; i++)
        if (updates->items[i].id.size && state_terminal(updates->items[i].state))
            looks_ended(self->state, updates->items[i].id);
    if (!r && wanted)
        subs_tell(self->state, updates);
    if (updates->entries)
        self->newest = updates->last;
}

static void on_read(void *arg, int status, const redisReply *reply)
{
    struct events *self = arg;
    if (status && reply)
        redis_drop(self->redis, reply->str);
    if (status)
        return;
    const redisReply *entries = entries_of(reply);
    if (!entries) {
        look_at_newest(self); /* a store whose numbers went back is never heard of otherwise */
        return;
    }
    for (size_t i = 0; i < entries->elements; i++)
        on_entry(self, entries->element[i]);
    say_services(self);
    on_transitions(self, entries);
    looks_flush(self->state);
    read_on(self);
}

static void call(struct events *self, redis_done_fn *done)
{
    if (redis_call(self->redis, command_end(&self->command), done, self))
        redis_drop(self->redis, "a call could not be made");
}

static void read_on(struct events *self)
{
    char after[32];
    snprintf(after, sizeof after, "%llu-0", (unsigned long long)self->newest);
    command_begin(&self->command);
    command_text(&self->command, "XREAD");
    command_text(&self->command, "COUNT");
    command_whole(&self->command, READ_MOST);
    command_text(&self->command, "BLOCK");
    command_whole(&self->command, (uint64_t)self->block_ms);
    command_text(&self->command, "STREAMS");
    command_text(&self->command, self->key);
    command_text(&self->command, after);
    call(self, on_read);
}

/* Goes on where it was, as far as the store has come at least so far. */
static void on_newest(void *arg, int status, const redisReply *reply)
{
    struct events *self = arg;
    if (status && reply)
        redis_drop(self->redis, reply->str);
    if (status)
        return;
    uint64_t newest = 0;
    if (reply_has(reply, 1) && reply_has(reply->element[0], 1))
        newest = updates_number(reply_text(reply->element[0]->element[0]));
    if (!self->follows || newest < self->newest) {
        catch_up(self);
        self->newest = newest;
        self->follows = true;
    }
    read_on(self);
}

static void look_at_newest(struct events *self)
{
    command_begin(&self->command);
    command_text(&self->command, "XREVRANGE");
    command_text(&self->command, self->key);
    command_text(&self->command, "+");
    command_text(&self->command, "-");
    command_text(&self->command, "COUNT");
    command_text(&self->command, "1");
    call(self, on_newest);
}

static void on_connected(void *arg)
{
    look_at_newest(arg);
}

static void on_lost(void *arg, const char *why)
{
    (void)arg;
    log_event_seldom(LOG_LEVEL_DEBUG, "events_lost", "why=%s", why);
}

static int judge(void *arg, struct slice error)
{
    (void)arg;
    (void)error;
    return STATUS_INTERNAL;
}

struct events *events_new(state_t *state)
{
    const struct settings *settings = state->settings;
    struct events *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->state = state;
    self->block_ms = settings->redis_timeout_ms / 2 < BLOCK_MOST_MS ? settings->redis_timeout_ms / 2
                                                                    : BLOCK_MOST_MS;
    snprintf(self->key, sizeof self->key, "%sevents", settings->redis_shard);
    const struct redis_options options = {
        .loop = program_loop(state->program),
        .addr = settings->redis_addr,
        .password = settings->redis_password,
        .db = settings->redis_db,
        .timeout_ms = settings->redis_timeout_ms,
        .calls_max = 4,
        .bytes_max = 1 << 20,
        .connected = on_connected,
        .lost = on_lost,
        .judge = judge,
        .arg = self,
    };
    self->redis = redis_new(&options);
    if (!self->redis)
        events_destroy(&self);
    return self;
}

void events_destroy(struct events **self_p)
{
    struct events *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    redis_destroy(&self->redis);
    command_clear(&self->command);
    updates_clear(&self->updates);
    free(self);
}

uint64_t events_newest(const struct events *self)
{
    return self->newest;
}
