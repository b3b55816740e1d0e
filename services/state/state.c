#include "services/state/state.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/objects/objects_settings.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/disk.h"
#include "services/state/reply.h"
#include "services/state/space.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { LONG_AT_ONCE = 1, RECORDS_AT_ONCE = 8, ENDS_AT_ONCE = 4 };
enum { SWEEP_MS = 1000, SWEEP_FIELDS = 5, FAREWELL_MS = 100, SHARD_MAX = 64 };

int64_t state_now_ms(const state_t *self)
{
    return self->redis_ahead_ms ? clock_ms() + self->redis_ahead_ms : clock_wall_ms();
}

msgpack_packer *state_packer(state_t *self)
{
    msgpack_sbuffer_clear(&self->packed);
    return &self->packer;
}

struct slice state_packed(const state_t *self)
{
    return slice_make(self->packed.data, self->packed.size);
}

void state_call(ask_t *ask, struct command *command, redis_done_fn *done)
{
    int r = store_call(ask->state->store, command, done, ask);
    if (r)
        ask_fail(&ask, r, NULL);
}

void state_call_large(ask_t *ask, large_t *large, struct command *command, redis_done_fn *done)
{
    int r = large_call(large, command, done, ask);
    if (r)
        ask_fail(&ask, r, NULL);
}

bool state_read(ask_t **ask_p, const struct message_layout *layout, void *m)
{
    const char *field = NULL;
    struct refusal why = { 0 };
    int r = message_decode(layout, ask_body(*ask_p), m, &field);
    if (!r)
        return true;
    refusal_say(&why, r, field, "%s",
                r == STATUS_INVALID ? "missing, of the wrong type or too long"
                                    : "the body must be a map");
    ask_refuse(ask_p, &why);
    return false;
}

bool state_read_batch(ask_t **ask_p, struct reader *ret_reader, uint32_t *ret_count)
{
    ask_t *ask = *ask_p;
    struct refusal why = { 0 };
    if (!codec_array(ask_body(ask), ret_reader, ret_count)) {
        refusal_say(&why, STATUS_MALFORMED, NULL, "the body must be a list");
    } else if (*ret_count > ITEMS_MAX) {
        why.limit = ITEMS_MAX;
        why.current = *ret_count;
        refusal_say(&why, STATUS_TOO_LARGE, "count", "at most %d items in one message", ITEMS_MAX);
    } else if (*ret_count == 0 || *ret_count != ask->count) {
        refusal_say(&why, STATUS_INVALID, "count",
                    "the header says %u items and the body has %u; there must be one at least",
                    ask->count, *ret_count);
    }
    if (why.status)
        ask_refuse(ask_p, &why);
    return why.status == 0;
}

void state_verdict(ask_t *ask)
{
    state_t *self = ask->state;
    if (--ask->open)
        return;
    if (ask->trouble) {
        ask_fail(&ask, 0, NULL);
        return;
    }
    msgpack_packer *pk = state_packer(self);
    msgpack_pack_array(pk, ask->items);
    for (uint32_t i = 0; i < ask->items; i++) {
        if (ask->verb == VERB_SUBMIT)
            submit_pack(ask, i, pk);
        else
            finish_pack(ask, i, pk);
    }
    ask_answer(&ask, STATUS_OK, ask->items, state_packed(self));
}

void state_flush(state_t *self)
{
    submits_flush(self);
    batches_flush(self->finishes);
    batches_flush(self->returns);
    claims_flush(self);
    looks_flush(self);
    store_flush(self->store);
}

static void on_store_ready(void *arg)
{
    state_t *self = arg;
    log_event(LOG_LEVEL_INFO, "store_ready", "redis=%s durability=%s", self->settings->redis_addr,
              store_durability(self->store));
    nodes_refresh(self);
    looks_all(self);
    timers_now(self);
    cron_cleanup_see(self);
    created_look(self);
    creations_again(self);
}

static void on_store_lost(void *arg, const char *why)
{
    const state_t *self = arg;
    log_event_seldom(LOG_LEVEL_WARN, "store_away", "redis=%s why=%s", self->settings->redis_addr,
                     why);
}

/* ran expired extended requeued ended; ran is 2 when nobody had swept for a while, so that all
 * sessions got a new lease and nothing is amiss. */
static void on_swept(void *arg, int status, const redisReply *reply)
{
    (void)arg;
    if (status == STATUS_INTERNAL)
        log_event_seldom(LOG_LEVEL_ERROR, "sweep_failed", "why=%s", reply ? reply->str : "");
    if (status || !reply_is_array(reply, SWEEP_FIELDS) || reply_whole(reply->element[0]) != 1)
        return;
    const long long expired = reply_whole(reply->element[1]);
    const long long extended = reply_whole(reply->element[2]);
    if (expired || extended)
        log_event(LOG_LEVEL_WARN, "leases_lost",
                  "sessions=%lld extended=%lld requeued=%lld ended=%lld", expired, extended,
                  (long long)reply_whole(reply->element[3]),
                  (long long)reply_whole(reply->element[4]));
}

static void on_sweep(uv_timer_t *timer)
{
    state_t *self = timer->data;
    struct command *command = store_function(self->store, "sweep");
    command_whole(command, (uint64_t)self->settings->lease_ms);
    (void)store_call(self->store, command, on_swept, self); /* away or busy: in a second again */
    created_look(self);
    creations_again(self);
    looks_external(self);
}

static void add_timer(state_t *self, uv_timer_t *timer)
{
    uv_timer_init(program_loop(self->program), timer);
    timer->data = self;
    state_keep(self);
}

static int read_depths(state_t *self)
{
    struct slice wrong = { 0 };
    int r = depths_new(self->settings->queue_limits, (uint64_t)self->settings->queue_max,
                       &self->depths, &wrong);
    if (r == -EINVAL)
        log_event(LOG_LEVEL_ERROR, "start_failed",
                  "setting=queue.limits part=%.*s why=\"not QUEUE=1..1000000000, a queue named "
                  "twice, or more than %d of them\"",
                  SLICE_ARG(wrong), (int)DEPTHS_MAX);
    return r;
}

/* Keys that are built here have room for so much. */
static int check_shard(const char *shard)
{
    if (strlen(shard) <= SHARD_MAX)
        return 0;
    log_event(LOG_LEVEL_ERROR, "start_failed", "setting=redis.shard why=\"at most %d bytes\"",
              (int)SHARD_MAX);
    return -EINVAL;
}

void state_space_changed(state_t *self)
{
    if (self->stopping)
        return;
    self->space_asked = space_low(self->space) || self->settings->quota_user_bytes;
    disk_tick(self->disk);
}

static int make_parts(state_t *self)
{
    const struct store_options store = {
        .loop = program_loop(self->program),
        .settings = self->settings,
        .ready = on_store_ready,
        .lost = on_store_lost,
        .arg = self,
    };
    self->tasks = calloc(ITEMS_MAX, sizeof *self->tasks);
    self->submits = batches_new(&submit_row, self);
    self->finishes = batches_new(&finish_row, self);
    self->returns = batches_new(&return_row, self);
    self->waits = waits_new((size_t)self->settings->state_waits_max);
    self->subs = waits_new((size_t)self->settings->state_waits_max);
    self->catalogue = catalogue_new();
    if (!self->tasks || !self->submits || !self->finishes || !self->returns || !self->waits ||
        !self->subs || !self->catalogue || looks_new(self))
        return -ENOMEM;
    self->store = store_new(&store);
    if (self->store) {
        self->large = large_new(self->store, LONG_AT_ONCE);
        self->records = large_new(self->store, RECORDS_AT_ONCE);
        self->ends = large_new(self->store, ENDS_AT_ONCE);
    }
    self->events = self->large && self->records && self->ends ? events_new(self) : NULL;
    self->audit = self->events ? audit_new(self) : NULL;
    self->disk = self->audit ? disk_new(self) : NULL;
    return self->disk ? space_new(self, &self->space) : -ENOMEM;
}

static void free_state(state_t *self)
{
    batches_destroy(&self->submits);
    batches_destroy(&self->finishes);
    batches_destroy(&self->returns);
    catalogue_destroy(&self->catalogue);
    depths_destroy(&self->depths);
    waits_destroy(&self->waits);
    waits_destroy(&self->subs);
    disk_destroy(&self->disk);
    space_destroy(&self->space);
    while (self->spare_asks) {
        ask_t *next = self->spare_asks->next;
        free(self->spare_asks);
        self->spare_asks = next;
    }
    msgpack_sbuffer_destroy(&self->packed);
    free(self->tasks);
    free(self);
}

void state_keep(state_t *self)
{
    self->kept++;
}

void state_let_go(state_t *self)
{
    if (--self->kept == 0)
        free_state(self);
}

static void on_timer_closed(uv_handle_t *handle)
{
    state_let_go(handle->data);
}

static void state_destroy(void *arg)
{
    state_t *self = arg;
    self->stopping = true;
    store_destroy(&self->store);
    large_destroy(&self->large);
    large_destroy(&self->records);
    large_destroy(&self->ends);
    events_destroy(&self->events);
    audit_destroy(&self->audit);
    asks_drop(&self->unsure);
    asks_drop(&self->unsure_next);
    asks_drop(&self->claims_asked);
    creations_drop(self);
    disk_stop(self->disk);
    space_stop(self->space);
    looks_destroy(self);
    subs_forget(self, NULL);
    brokers_destroy(self);
    uv_close((uv_handle_t *)&self->sweep, on_timer_closed);
    uv_close((uv_handle_t *)&self->expiry, on_timer_closed);
    uv_close((uv_handle_t *)&self->due, on_timer_closed);
    uv_close((uv_handle_t *)&self->farewell, on_timer_closed);
}

static int state_start(program_t *program, const struct settings *settings, void **ret_self)
{
    const int wrong = objects_settings_check(settings);
    state_t *self = wrong ? NULL : calloc(1, sizeof *self);
    if (!self)
        return wrong ? wrong : -ENOMEM;
    self->program = program;
    self->settings = settings;
    msgpack_sbuffer_init(&self->packed);
    msgpack_packer_init(&self->packer, &self->packed, msgpack_sbuffer_write);
    if (gethostname(self->host, sizeof self->host - 1))
        snprintf(self->host, sizeof self->host, "localhost");
    snprintf(self->name, sizeof self->name, "%.100s-%d", self->host, (int)getpid());
    *ret_self = self;
    add_timer(self, &self->sweep);
    add_timer(self, &self->expiry);
    add_timer(self, &self->due);
    add_timer(self, &self->farewell);
    uv_timer_start(&self->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    int r = check_shard(settings->redis_shard);
    if (!r)
        r = read_depths(self);
    if (!r)
        r = cron_cleanup_check(self);
    if (!r)
        r = make_parts(self);
    return r ? r : brokers_new(self);
}

static void on_farewell(uv_timer_t *timer)
{
    const state_t *self = timer->data;
    program_end(self->program, 0);
}

/* The brokers ask others what we have not answered; every call may be made twice. */
static void state_stop(void *arg)
{
    state_t *self = arg;
    batches_flush(self->submits); /* no answer of Redis is waited for, nothing is gathered later */
    state_flush(self);
    self->stopping = true;
    brokers_leave(self);
    uv_timer_start(&self->farewell, on_farewell, FAREWELL_MS, 0);
}

const struct program_row state_program = {
    .name = "gantry-state",
    .summary = "keeps Gantry's records in Redis; the only one that speaks to it",
    .examples = "  gantry-state --state-brokers tcp://10.0.0.1:7003 --redis-addr 10.0.0.2:6379\n",
    .used_by = USED_BY_STATE,
    .start = state_start,
    .stop = state_stop,
    .destroy = state_destroy,
};
