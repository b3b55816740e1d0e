/* SUBMIT: every item is checked before anything is written; those that are sound go, with the sound
 * ones of all other messages of this turn, into one call a queue. */
#include "common/clock.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/disk.h"
#include "services/state/reply.h"
#include "services/state/space.h"
#include "services/state/state.h"
#include "services/state/task.h"

#include <errno.h>

enum {
    RETRY_QUEUE_FULL_MS = 1000,
    RETRY_QUOTA_MS = 5000,
    REPLY_FIELDS = 3,
    SUBMITS_AT_ONCE = 3, /* calls, as long as none is full */
    KEY_MAX = ASK_SERVICE_MAX + 1,
    NO_ROOM = 0x80, /* beside the priority, in a batch's key */
    /* what a BUSY item has as its reuse */
    OVER_USER = 3,
    OVER_USERS = 4,
    OVER_CALLBACKS = 5,
    CALLBACKS_MAX = 65536 /* bytes of addresses that wait for one run, as in 18_callback.lua */
};

static int check_task(const ask_t *ask, const struct m_task *task, struct refusal *why,
                      bool *ret_refers)
{
    if (!slice_equal(task_name_service(task->task), ask_service(ask)))
        return refusal_say(why, STATUS_INVALID, "task", "is not of the message's service %.*s",
                           SLICE_ARG(ask_service(ask)));
    return catalogue_check(ask->state->catalogue, task->task, task->input, why, ret_refers);
}

/* Reads item index into tasks; its verdict stays open when it is sound. */
static int check_item(ask_t *ask, struct slice bytes, uint32_t index, int64_t now_ms)
{
    struct m_task *task = &ask->state->tasks[index];
    struct verdict *verdict = &ask->verdicts[index];
    struct refusal why = { 0 };
    int r = task_read(bytes, now_ms, task, &why);
    if (!r) {
        verdict->id = task->id;
        verdict->task = task->task;
        r = check_task(ask, task, &why, &verdict->refers);
    }
    if (r)
        ask_refuse_item(ask, index, &why);
    return r;
}

/* Submit says it, else the node, else the settings. */
struct limits submit_limits(const state_t *state, const struct m_task *task)
{
    const struct settings *settings = state->settings;
    struct limits limits = { task->failures_max, task->crashes_max, task->retry_ms };
    const struct limits node = catalogue_limits(state->catalogue, task->task);
    const struct limits all = { .failures_max = (uint32_t)settings->retry_failures_max,
                                .crashes_max = (uint32_t)settings->retry_crashes_max };
    limits_fill(&limits, &node);
    limits_fill(&limits, &all);
    return limits;
}

/* False: there is no room for its files, or its owner has taken enough. Then it is answered by what
 * there is of it, and only if it would run it is BUSY, for the reason that is kept here. */
static bool has_room(ask_t *ask, uint32_t index)
{
    const state_t *state = ask->state;
    const struct m_task *task = &state->tasks[index];
    struct refusal why = { 0 };
    int r = catalogue_space(state->catalogue, task->task) ? space_check(state->space, &why) : 0;
    if (!r)
        r = disk_check_user(state->disk, task->owner, &why);
    if (r) {
        ask_refuse_item(ask, index, &why);
        ask->verdicts[index].status = 0; /* that is not decided yet */
    }
    return !r;
}

static void hand_out(ask_t *ask, uint32_t index)
{
    state_t *state = ask->state;
    const struct m_task *task = &state->tasks[index];
    uint8_t key[KEY_MAX];
    memcpy(key, ask->service, ask->service_size);
    key[ask->service_size] = (uint8_t)ask->priority;
    if (state->space_asked && !has_room(ask, index))
        key[ask->service_size] |= NO_ROOM;
    struct command *command =
        batches_add(state->submits, slice_make(key, ask->service_size + 1u), ask, index);
    if (!command) {
        ask_trouble(ask, -ENOMEM, NULL);
        return;
    }
    ask->open++;
    command_stage(command, task->id, task->task);
    const struct limits limits = submit_limits(state, task);
    task_pack_body(task, &limits, ask->priority, state_now_ms(state), ask->verdicts[index].refers,
                   state_packer(state));
    command_arg(command, state_packed(state));
    task_pack_extra(task, state_packer(state));
    command_arg(command, state_packed(state));
}

static bool check_header(ask_t **ask_p)
{
    ask_t *ask = *ask_p;
    struct refusal why = { 0 };
    if (!service_valid(ask_service(ask)))
        refusal_say(&why, STATUS_INVALID, "service", "must be 1 to 32 of [a-z0-9_]");
    else if (ask->priority >= PRIORITY_END)
        refusal_say(&why, STATUS_INVALID, "priority", "must be 0 normal, 1 high or 2 low");
    if (why.status)
        ask_refuse(ask_p, &why);
    return why.status == 0;
}

/* False: some node is not known. */
static bool check_items(ask_t *ask, struct reader reader)
{
    const int64_t now_ms = clock_wall_ms();
    bool known = true;
    for (uint32_t i = 0; i < ask->items; i++) {
        struct slice bytes = { 0 };
        (void)reader_value(&reader,
                           &bytes); /* the body was checked: there are as many as it says */
        known &= check_item(ask, bytes, i, now_ms) != STATUS_NOT_FOUND;
    }
    return known;
}

static void forget_verdicts(ask_t *ask)
{
    for (uint32_t i = 0; i < ask->items; i++) {
        free(ask->verdicts[i].refusal);
        ask->verdicts[i] = (struct verdict){ 0 };
    }
}

void submit_asked(state_t *self, ask_t *ask)
{
    struct reader reader;
    uint32_t count;
    if (!check_header(&ask) || !state_read_batch(&ask, &reader, &count))
        return;
    if (!store_ready(self->store)) {
        ask_fail(&ask, STATUS_UNAVAILABLE, NULL);
        return;
    }
    if (!ask->items && ask_items(ask, count)) {
        ask_fail(&ask, -ENOMEM, NULL);
        return;
    }
    ask->open = 1;
    if (!check_items(ask, reader) && !ask->second_look) {
        forget_verdicts(ask);
        ask->second_look = true;
        nodes_unsure(self, ask);
        return;
    }
    for (uint32_t i = 0; i < count && !ask->trouble; i++)
        if (ask->verdicts[i].status == 0)
            hand_out(ask, i);
    state_verdict(ask);
}

void submit_head(const state_t *self, struct command *command, struct slice service,
                 uint32_t priority, uint64_t queue_max)
{
    command_arg(command, service);
    command_whole(command, priority);
    command_whole(command, queue_max);
    command_whole(command, (uint64_t)self->settings->quota_user);
    command_whole(command, (uint64_t)self->settings->quota_all);
}

/* The key is the service and, in its last byte, the priority. */
static void begin(void *arg, struct command *command, struct slice key)
{
    state_t *self = arg;
    const uint8_t *bytes = key.data;
    const uint8_t last = bytes[key.size - 1];
    const struct slice service = slice_make(bytes, key.size - 1);
    store_begin(self->store, command, "submit");
    submit_head(self, command, service, last & ~(uint32_t)NO_ROOM,
                last & NO_ROOM ? 0 : depths_of(self->depths, service));
}

static void on_submitted(void *arg, int status, const redisReply *reply)
{
    batch_t *batch = arg;
    state_t *self = batch_arg(batch);
    self->submits_open--;
    if (!status && !reply_is(reply, batch_count(batch)) &&
        !reply_is_array(reply, (size_t)batch_count(batch) * REPLY_FIELDS))
        status = STATUS_INTERNAL;
    batch_end(batch, status, reply);
    submits_flush(self);
}

static int send_batch(void *arg, struct slice command, batch_t *batch)
{
    state_t *self = arg;
    int r = store_send(self->store, command, on_submitted, batch);
    if (!r)
        self->submits_open++;
    return r;
}

void submits_flush(state_t *self)
{
    if (self->submits_open < SUBMITS_AT_ONCE || self->claims_asked.first)
        batches_flush(self->submits);
}

/* Why, when there is more to say than the status; a reason that was kept may not be what it was. */
static const struct refusal *reason_of(const struct verdict *verdict)
{
    const struct refusal *why = verdict->refusal;
    const bool other = verdict->status == STATUS_BUSY && verdict->reuse;
    return why && why->status == verdict->status && !other ? why : NULL;
}

static bool disk_refused(const struct verdict *verdict)
{
    const struct refusal *why = reason_of(verdict);
    return why && why->scope && strcmp(why->scope, "disk") == 0;
}

static void ended(void *arg, void *message, uint32_t index, int status, const void *result,
                  uint32_t at)
{
    (void)arg;
    ask_t *ask = message;
    struct verdict *verdict = &ask->verdicts[index];
    const redisReply *reply = result;
    if (status) {
        ask_trouble(ask, status, reply);
    } else if (reply->type == REDIS_REPLY_ARRAY) {
        redisReply *const *fields = reply->element + (size_t)at * REPLY_FIELDS;
        const int64_t state = reply_whole(fields[1]);
        verdict->status = (uint8_t)reply_whole(fields[0]);
        verdict->reuse = (uint8_t)reply_whole(fields[2]);
        if (verdict->status == STATUS_BUSY)
            verdict->current = (uint64_t)state;
        else
            verdict->state = (uint8_t)state;
        if (disk_refused(verdict))
            space_count_refused(ask->state->space);
    } /* else all are new, and wait: the verdict is that already */
    state_verdict(ask);
}

const struct batches_row submit_row = { .begin = begin, .send = send_batch, .ended = ended };

/* What the function answered: the queue is full, or the owner, or all owners, have enough. */
static void pack_busy(const ask_t *ask, const struct verdict *verdict, struct m_receipt *to)
{
    const struct settings *settings = ask->state->settings;
    to->current = verdict->current;
    to->retry_after_ms = RETRY_QUOTA_MS;
    if (verdict->reuse == OVER_USER) {
        to->scope = SLICE("user");
        to->limit = (uint64_t)settings->quota_user;
        to->message = SLICE("请等待当前任务完成");
    } else if (verdict->reuse == OVER_USERS) {
        to->scope = SLICE("users");
        to->limit = (uint64_t)settings->quota_all;
        to->message = SLICE("系统繁忙，请稍后重试");
    } else if (verdict->reuse == OVER_CALLBACKS) {
        to->scope = SLICE("callbacks");
        to->limit = CALLBACKS_MAX;
        to->message = SLICE("too many addresses wait for the end of this run");
    } else {
        to->scope = SLICE("queue");
        to->limit = depths_of(ask->state->depths, ask_service(ask));
        to->retry_after_ms = RETRY_QUEUE_FULL_MS;
    }
}

static void pack_error(const ask_t *ask, const struct verdict *verdict, struct m_receipt *to)
{
    const struct refusal *why = reason_of(verdict);
    to->message = slice_of(status_text(verdict->status));
    if (verdict->status == STATUS_BUSY)
        pack_busy(ask, verdict, to);
    if (!why)
        return;
    if (why->scope)
        to->scope = slice_of(why->scope);
    if (why->retry_after_ms)
        to->retry_after_ms = why->retry_after_ms;
    to->message = slice_of(why->message);
    to->field = slice_of(why->field);
    to->limit = why->limit;
    to->current = why->current;
}

void submit_pack(const ask_t *ask, uint32_t index, msgpack_packer *pk)
{
    static const char *const reuses[] = { "miss", "wait", "hit" };
    const struct verdict *verdict = &ask->verdicts[index];
    struct m_receipt receipt = { .status = verdict->status,
                                 .id = verdict->id,
                                 .task = verdict->task };
    if (verdict->status) {
        pack_error(ask, verdict, &receipt);
    } else {
        receipt.state = slice_of(state_text(verdict->state));
        receipt.reuse = slice_of(reuses[verdict->reuse < 3 ? verdict->reuse : 0]);
        receipt.durability = slice_of(store_durability(ask->state->store));
    }
    message_encode(&m_receipt_layout, &receipt, pk);
}
