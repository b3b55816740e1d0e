/* SUBSCRIBE: a long poll. What the stream keeps is read by number; who has seen all of it is parked
 * until the follower of the stream (events.c) reads something it wants, and is answered out of
 * that. The two read on connections of their own, so whoever was to be parked reads on when the
 * follower is ahead: nothing falls in between, and numbers keep anything from being told twice. */
#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "services/state/ledger.h"
#include "services/state/ref.h"
#include "services/state/reply.h"
#include "services/state/state.h"

#include <errno.h>
#include <stdio.h>

enum {
    READ_MOST = 16, /* entries in one read: each may have a thousand transitions */
    LIMIT_DEFAULT = 256,
    LIMIT_MOST = 1000,
    WIDE_MAX = 1024, /* each of these looks at every update */
    RETRY_WIDE_MS = 1000,
    TIMEOUT_MOST_MS = 60000
};

/* A request on its way to its answer; parked, or with one call to Redis under way. */
struct sub {
    state_t *state;
    ask_t *ask;
    struct m_subscribe said; /* borrowed from ask; limit is set */
    uint64_t seen;           /* number up to which it knows all */
    int64_t due_ms;
    bool reset;
};

static void leave(struct sub *self)
{
    self->state->subs_count--;
    if (!self->said.id.size)
        self->state->wide_count--;
    if (self->ask)
        ask_drop(&self->ask);
    free(self);
}

static void leave_failed(struct sub *self, int status, const redisReply *reply)
{
    ask_fail(&self->ask, status, reply);
    leave(self);
}

static struct update_filter filter_of(const struct sub *self)
{
    return (struct update_filter){
        .since = self->seen,
        .id = self->said.id,
        .service = self->said.service,
        .limit = self->said.limit,
    };
}

/* Answers what passes, or without items when nothing does. */
static void answer(struct sub *self, const struct updates *updates)
{
    const struct update_filter filter = filter_of(self);
    struct m_updates told = { .seq = self->seen };
    uint32_t count = 0;
    msgpack_sbuffer buffer;
    msgpack_packer inner;
    msgpack_sbuffer_init(&buffer);
    if (updates)
        count = updates_count(updates, &filter, &told.seq);
    if (count) {
        msgpack_packer_init(&inner, &buffer, msgpack_sbuffer_write);
        updates_pack(updates, &filter, count, &inner);
        told.items = slice_make(buffer.data, buffer.size);
    }
    message_encode(&m_updates_layout, &told, state_packer(self->state));
    ask_answer(&self->ask, STATUS_OK, count, state_packed(self->state));
    msgpack_sbuffer_destroy(&buffer);
}

/* snapshot is one packed value. */
static void leave_with(struct sub *self, uint64_t seq, struct slice snapshot)
{
    const struct m_updates told = { .seq = seq, .reset = self->reset, .snapshot = snapshot };
    message_encode(&m_updates_layout, &told, state_packer(self->state));
    ask_answer(&self->ask, STATUS_OK, 0, state_packed(self->state));
    leave(self);
}

static void on_record(void *arg, int status, const redisReply *reply)
{
    struct sub *self = arg;
    scoped_in(stages) stages = { 0 };
    size_t at = 0;
    if (!status)
        status = stages_read(&stages, reply, &at);
    if (status) {
        leave_failed(self, status, reply);
        return;
    }
    if (stages.count == 0) {
        const struct m_ref ref = { .id = self->said.id };
        ref_missing(&self->ask, &ref);
        leave(self);
        return;
    }
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    if (record_pack(self->said.id, self->state->settings->storage_root, stages.items, stages.count,
                    &pk))
        leave_with(self, self->seen, slice_make(buffer.data, buffer.size));
    else
        leave_failed(self, -ENOMEM, NULL);
    msgpack_sbuffer_destroy(&buffer);
}

static void on_ledger(void *arg, int status, const redisReply *reply)
{
    struct sub *self = arg;
    struct m_ledger ledger;
    if (!status)
        status = ledger_read(reply, &ledger);
    if (status) {
        leave_failed(self, status, reply);
        return;
    }
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    message_encode(&m_ledger_layout, &ledger, &pk);
    leave_with(self, ledger.seq, slice_make(buffer.data, buffer.size));
    msgpack_sbuffer_destroy(&buffer);
}

/* A call, or its end. */
static void call(struct sub *self, struct command *command, redis_done_fn *done)
{
    int r = store_call(self->state->store, command, done, self);
    if (r)
        leave_failed(self, r, NULL);
}

static void call_large(struct sub *self, large_t *large, struct command *command,
                       redis_done_fn *done)
{
    int r = large_call(large, command, done, self);
    if (r)
        leave_failed(self, r, NULL);
}

/* seen is a number from before the reading: what happened since is told once more, by its update.
 */
static void snapshot(struct sub *self)
{
    struct command *command =
        store_function(self->state->store, self->said.id.size ? "get" : "ledger");
    if (!self->said.id.size) {
        call(self, command, on_ledger);
        return;
    }
    command_text(command, "1");
    command_arg(command, self->said.id);
    command_text(command, "");
    call_large(self, self->state->records, command, on_record);
}

static void park(struct sub *self)
{
    state_t *state = self->state;
    if (state->stopping || !ask_reachable(self->ask)) {
        leave(self);
        return;
    }
    int r = waits_park(state->subs, self->said.id, self->said.service, self->due_ms, self);
    if (r)
        leave_failed(self, r, NULL);
    else
        expiry_start(state);
}

static void on_number(void *arg, int status, const redisReply *reply)
{
    struct sub *self = arg;
    if (status) {
        leave_failed(self, status, reply);
        return;
    }
    const int64_t said = reply_whole(reply);
    const uint64_t number = said > 0 ? (uint64_t)said : 0;
    const bool latest = number == self->seen && events_newest(self->state->events) <= number;
    if (self->said.since && !self->reset && latest) {
        park(self); /* the stream is gone, but nothing came after what it has seen */
        return;
    }
    self->reset = self->said.since != 0;
    self->seen = number;
    snapshot(self);
}

static void number_first(struct sub *self)
{
    call(self, store_plain(self->state->store, "GET", "events_seq"), on_number);
}

static void read_on(struct sub *self);

/* Behind what was read and held nothing for it. */
static void go_on(struct sub *self, const struct updates *updates)
{
    self->seen = updates->last > self->seen ? updates->last : self->seen;
    if (clock_ms() >= self->due_ms) {
        answer(self, NULL);
        leave(self);
    } else if (updates->entries == READ_MOST || self->seen < events_newest(self->state->events)) {
        read_on(self);
    } else {
        park(self);
    }
}

static void on_range(void *arg, int status, const redisReply *reply)
{
    struct sub *self = arg;
    scoped_in(updates) updates = { 0 };
    uint64_t seq;
    if (!status && !reply_has(reply, 0))
        status = STATUS_INTERNAL;
    if (!status)
        status = updates_read(&updates, reply);
    if (status) {
        leave_failed(self, status, reply);
        return;
    }
    const struct update_filter filter = filter_of(self);
    self->reset = updates.gap || updates.first > self->seen + 1;
    if (!updates.entries || self->reset) {
        number_first(self);
    } else if (updates_count(&updates, &filter, &seq)) {
        answer(self, &updates);
        leave(self);
    } else {
        go_on(self, &updates);
    }
}

/* From the entry on that has the number seen: it shows that the stream goes back so far. */
static void read_on(struct sub *self)
{
    char from[32];
    struct command *command = store_plain(self->state->store, "XRANGE", "events");
    snprintf(from, sizeof from, "%llu-0", (unsigned long long)self->seen);
    command_text(command, from);
    command_text(command, "+");
    command_text(command, "COUNT");
    command_whole(command, READ_MOST);
    call_large(self, self->state->large, command, on_range);
}

/* Parked ones, answered out of what is at hand; updates NULL: without items. */
struct telling {
    state_t *state;
    const struct updates *updates;
    uint64_t newest; /* all of them know what happened up to here */
};

static void tell(void *arg, wait_t *wait)
{
    const struct telling *telling = arg;
    struct sub *self = wait_arg(wait);
    uint64_t seq;
    if (self->seen < telling->newest)
        self->seen = telling->newest;
    const struct update_filter filter = filter_of(self);
    if (telling->updates && !updates_count(telling->updates, &filter, &seq))
        return;
    waits_remove(telling->state->subs, wait);
    answer(self, telling->updates);
    leave(self);
}

void subs_tell(state_t *self, const struct updates *updates)
{
    struct telling telling = { self, updates, 0 };
    if (waits_count(self->subs) == 0 || updates->count == 0)
        return;
    waits_find(self->subs, (struct slice){ 0 }, tell, &telling);
    for (size_t i = 0; i < updates->count; i++)
        if (updates->items[i].id.size)
            waits_find(self->subs, updates->items[i].id, tell, &telling);
}

void subs_jump(state_t *self, uint64_t newest)
{
    struct telling telling = { self, NULL, newest };
    waits_each(self->subs, tell, &telling);
}

void subs_expire(state_t *self, int64_t now_ms)
{
    struct telling telling = { self, NULL, events_newest(self->events) };
    waits_tick(self->subs, now_ms, tell, &telling);
}

struct parting {
    state_t *state;
    const struct broker *broker; /* NULL: all */
};

static void drop_if_asked_by(void *arg, wait_t *wait)
{
    const struct parting *parting = arg;
    struct sub *self = wait_arg(wait);
    if (parting->broker && self->ask->broker != parting->broker)
        return;
    waits_remove(parting->state->subs, wait);
    leave(self);
}

void subs_forget(state_t *self, const struct broker *broker)
{
    struct parting parting = { self, broker };
    if (self->subs)
        waits_each(self->subs, drop_if_asked_by, &parting);
}

static int check(const struct m_subscribe *said, struct refusal *why)
{
    const struct m_ref ref = { .id = said->id };
    if (said->id.size && ref_check(&ref, why))
        return why->status;
    if (said->service.size && !service_valid(said->service))
        return refusal_say(why, STATUS_INVALID, "service", "must be 1 to 32 of [a-z0-9_]");
    if (said->limit > LIMIT_MOST)
        return refusal_say(why, STATUS_INVALID, "limit", "must be at most %d", LIMIT_MOST);
    return 0;
}

static bool wide_full(const state_t *self, const struct m_subscribe *said, struct refusal *why)
{
    if (said->id.size || self->wide_count < WIDE_MAX)
        return false;
    *why = (struct refusal){ .scope = "subscribers", .retry_after_ms = RETRY_WIDE_MS };
    why->limit = WIDE_MAX;
    why->current = self->wide_count;
    refusal_say(why, STATUS_BUSY, NULL, "too many want the updates of all tasks");
    return true;
}

void subscribe_asked(state_t *self, ask_t *ask)
{
    struct m_subscribe said = { 0 };
    struct refusal why = { 0 };
    if (ask_body(ask).size && !state_read(&ask, &m_subscribe_layout, &said))
        return;
    if (check(&said, &why) || waits_full(self, &why) || wide_full(self, &said, &why)) {
        ask_refuse(&ask, &why);
        return;
    }
    struct sub *sub = malloc(sizeof *sub);
    if (!sub) {
        ask_fail(&ask, -ENOMEM, NULL);
        return;
    }
    const bool short_time = said.timeout_ms && said.timeout_ms < TIMEOUT_MOST_MS;
    *sub = (struct sub){ .state = self, .ask = ask, .said = said, .seen = said.since };
    sub->due_ms = clock_ms() + (short_time ? said.timeout_ms : TIMEOUT_MOST_MS);
    if (!said.limit)
        sub->said.limit = LIMIT_DEFAULT;
    self->subs_count++;
    if (!said.id.size)
        self->wide_count++;
    if (said.since)
        read_on(sub);
    else if (said.id.size)
        number_first(sub);
    else
        snapshot(sub);
}
