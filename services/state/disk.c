/* DISK, and the quota of bytes. A measurement looks at every folder in a thread, asks Redis for the
 * owners in slices, and is sorted in a thread. */
#include "services/state/disk.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/space.h"
#include "services/state/tasks.h"
#include "services/state/usage.h"

#include <errno.h>
#include <stdlib.h>

enum {
    LIMIT_DEFAULT = 20,
    LIMIT_MOST = 1000,
    OWNERS_A_CALL = 100,
    FRESH_MS = 60000,
    IDLE_TIMES = 20, /* of what measuring takes, it is not done again on its own */
    RETRY_USER_MS = FRESH_MS,
    RETRY_UNSEEN_MS = 500
};

static const struct usage_bounds bounds = { .files_max = 2000000, .ms_max = 20000 };

struct disk {
    uv_work_t work;
    state_t *state;
    bool measuring;
    int result;        /* of the thread */
    struct usage now;  /* settled */
    struct usage next; /* being measured */
    size_t owned;      /* of next's tasks, so many owners were asked for */
    struct asks waiting;
};

static bool older_than(const disk_t *self, int64_t age_ms)
{
    return !self->now.measured_ms || clock_ms() - self->now.at_ms > age_ms;
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static void pack_task(msgpack_packer *pk, const struct usage_task *task)
{
    msgpack_pack_map(pk, 4);
    pack_text(pk, "id");
    pack_text(pk, task->id);
    pack_text(pk, "owner");
    pack_text(pk, task->owner ? task->owner : "");
    pack_text(pk, "bytes");
    msgpack_pack_uint64(pk, task->bytes);
    pack_text(pk, "files");
    msgpack_pack_uint64(pk, task->files);
}

static void pack_user(msgpack_packer *pk, const struct usage_user *user)
{
    msgpack_pack_map(pk, 3);
    pack_text(pk, "owner");
    pack_text(pk, user->owner);
    pack_text(pk, "bytes");
    msgpack_pack_uint64(pk, user->bytes);
    pack_text(pk, "tasks");
    msgpack_pack_uint64(pk, user->tasks);
}

/* Two arrays, one behind the other; answers where the second begins. */
static size_t pack_largest(const struct usage *usage, size_t limit, msgpack_sbuffer *to)
{
    struct usage_user users[LIMIT_MOST];
    msgpack_packer pk;
    msgpack_packer_init(&pk, to, msgpack_sbuffer_write);
    const size_t tasks = usage->tasks_count < limit ? usage->tasks_count : limit;
    const size_t top = usage_top_users(usage, users, limit);
    msgpack_pack_array(&pk, tasks);
    for (size_t i = 0; i < tasks; i++)
        pack_task(&pk, &usage->tasks[i]);
    const size_t second = to->size;
    msgpack_pack_array(&pk, top);
    for (size_t i = 0; i < top; i++)
        pack_user(&pk, &users[i]);
    return second;
}

static void tell(const disk_t *self, ask_t *ask, const struct storage_space *space)
{
    state_t *state = self->state;
    const struct settings *settings = state->settings;
    struct m_disk said = { 0 };
    msgpack_sbuffer largest;
    if (ask_body(ask).size) /* it was seen when it came */
        (void)message_decode(&m_disk_layout, ask_body(ask), &said, NULL);
    msgpack_sbuffer_init(&largest);
    const size_t second =
        pack_largest(&self->now, said.limit ? said.limit : LIMIT_DEFAULT, &largest);
    const struct m_disk_use use = {
        .root = slice_of(settings->storage_root),
        .total_bytes = space->total,
        .free_bytes = space->available,
        .low_bytes = (uint64_t)settings->storage_low_bytes,
        .high_bytes = (uint64_t)settings->storage_high_bytes,
        .refusing = space_low(state->space),
        .refused = space_refused(state->space),
        .folders = self->now.tasks_count,
        .bytes = self->now.bytes,
        .trash_bytes = self->now.trash_bytes,
        .measured_ms = (uint64_t)self->now.measured_ms,
        .partial = self->now.partial,
        .tasks = slice_make(largest.data, second),
        .users = slice_make(largest.data + second, largest.size - second),
    };
    message_encode(&m_disk_use_layout, &use, state_packer(state));
    msgpack_sbuffer_destroy(&largest);
    ask_answer(&ask, STATUS_OK, 0, state_packed(state));
}

static void answer(const disk_t *self, ask_t *ask)
{
    struct storage_space space;
    struct refusal why = { .retry_after_ms = RETRY_UNSEEN_MS };
    if (space_seen(self->state->space, &space)) {
        tell(self, ask, &space);
        return;
    }
    refusal_say(&why, STATUS_UNAVAILABLE, NULL, "the disk of %s was not seen yet",
                self->state->settings->storage_root);
    ask_refuse(&ask, &why);
}

/* ---- measuring --------------------------------------------------------------------------------
 */

static void finish(disk_t *self, int r)
{
    self->measuring = false;
    if (r == 0) {
        usage_clear(&self->now);
        self->now = self->next;
        self->next = (struct usage){ 0 };
    } else {
        usage_clear(&self->next);
        if (!self->state->stopping)
            log_event_seldom(LOG_LEVEL_WARN, "disk_not_measured", "why=%s",
                             r < 0 ? strerror(-r) : status_text(r));
    }
    for (ask_t *ask = asks_take(&self->waiting); ask; ask = asks_take(&self->waiting)) {
        if (self->state->stopping)
            ask_drop(&ask);
        else
            answer(self, ask);
    }
}

static int in_thread(disk_t *self, uv_work_cb work, uv_after_work_cb done)
{
    if (self->state->stopping)
        return -ECANCELED;
    int r = uv_queue_work(program_loop(self->state->program), &self->work, work, done);
    if (r == 0)
        state_keep(self->state);
    return r;
}

static void on_settled(uv_work_t *work, int status)
{
    disk_t *self = work->data;
    state_t *state = self->state;
    finish(self, status ? status : self->result);
    state_let_go(state);
}

static void settle(uv_work_t *work)
{
    disk_t *self = work->data;
    self->result = usage_settle(&self->next);
}

static void ask_owners(disk_t *self);

static void on_owners(void *arg, int status, const redisReply *reply)
{
    disk_t *self = arg;
    int r = status;
    if (!r && !tasks_read(reply))
        r = STATUS_INTERNAL;
    const size_t count = r ? 0 : tasks_count(reply);
    for (size_t i = 0; i < count && !r; i++) {
        struct m_task_item item;
        tasks_at(reply, i, &item);
        r = usage_own(&self->next, item.id, item.owner);
    }
    if (r)
        finish(self, r);
    else
        ask_owners(self);
}

static void ask_owners(disk_t *self)
{
    const struct usage *usage = &self->next;
    int r = 0;
    if (self->owned == usage->tasks_count) {
        r = in_thread(self, settle, on_settled);
    } else {
        struct command *command = store_function(self->state->store, "tasks");
        command_text(command, "0");
        command_whole(command, 1);
        command_whole(command, 0);
        for (size_t i = 0; i < OWNERS_A_CALL && self->owned < usage->tasks_count; i++)
            command_text(command, usage->tasks[self->owned++].id);
        r = large_call(self->state->large, command, on_owners, self);
    }
    if (r)
        finish(self, r);
}

static void on_measured(uv_work_t *work, int status)
{
    disk_t *self = work->data;
    state_t *state = self->state;
    self->owned = 0;
    if (status || self->result || state->stopping)
        finish(self, status ? status : self->result ? self->result : -ECANCELED);
    else
        ask_owners(self);
    state_let_go(state);
}

static void measure(uv_work_t *work)
{
    disk_t *self = work->data;
    const struct settings *settings = self->state->settings;
    self->result =
        usage_measure(settings->storage_root, settings->storage_local, &bounds, &self->next);
}

static void begin(disk_t *self)
{
    if (self->measuring)
        return;
    self->measuring = true;
    int r = in_thread(self, measure, on_measured);
    if (r)
        finish(self, r);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

disk_t *disk_new(state_t *state)
{
    disk_t *self = calloc(1, sizeof *self);
    if (self) {
        self->state = state;
        self->work.data = self;
    }
    return self;
}

void disk_stop(disk_t *self)
{
    if (self)
        asks_drop(&self->waiting);
}

void disk_destroy(disk_t **self_p)
{
    disk_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    usage_clear(&self->now);
    usage_clear(&self->next);
    free(self);
}

void disk_tick(disk_t *self)
{
    if (self->state->settings->quota_user_bytes && older_than(self, FRESH_MS) &&
        store_ready(self->state->store))
        begin(self);
}

int disk_check_user(const disk_t *self, struct slice owner, struct refusal *why)
{
    const uint64_t limit = (uint64_t)self->state->settings->quota_user_bytes;
    const uint64_t bytes = limit && owner.size ? usage_of_user(&self->now, owner) : 0;
    char has[USAGE_TEXT], may[USAGE_TEXT];
    if (!limit || bytes <= limit)
        return 0;
    why->scope = "user disk";
    why->limit = limit;
    why->current = bytes;
    why->retry_after_ms = RETRY_USER_MS;
    return refusal_say(why, STATUS_BUSY, NULL,
                       "the tasks of %.*s have %s on the disk, and may have %s: delete some",
                       SLICE_ARG(owner), usage_text(bytes, has), usage_text(limit, may));
}

void disk_asked(state_t *state, ask_t *ask)
{
    disk_t *self = state->disk;
    struct m_disk said = { 0 };
    struct refusal why = { 0 };
    if (ask_body(ask).size && !state_read(&ask, &m_disk_layout, &said))
        return;
    if (said.limit > LIMIT_MOST) {
        refusal_say(&why, STATUS_INVALID, "limit", "must be at most %d", LIMIT_MOST);
        ask_refuse(&ask, &why);
        return;
    }
    if (!said.measure) {
        answer(self, ask);
        if (older_than(self, FRESH_MS) && older_than(self, IDLE_TIMES * self->now.took_ms))
            begin(self);
        return;
    }
    asks_add(&self->waiting, ask);
    begin(self);
}
