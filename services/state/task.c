#include "services/state/task.h"

#include "common/paths.h"
#include "common/status.h"
#include "common/url.h"
#include "proto/codec.h"

enum { BODY_OWNED = 1, BODY_CALLBACK = 2, BODY_REFERS = 4 };

static int too_much(struct refusal *why, const char *field, uint64_t limit, uint64_t current)
{
    why->limit = limit;
    why->current = current;
    return limit == (uint64_t)LATER_MOST_MS
               ? refusal_say(why, STATUS_INVALID, field, "must be at most " LATER_MOST_TEXT)
               : refusal_say(why, STATUS_INVALID, field, "must be at most %u", (unsigned)limit);
}

static int check_waits(const struct m_task *task, int64_t now_ms, struct refusal *why)
{
    const struct {
        const char *field;
        uint64_t value, limit;
    } rows[] = {
        { "delay_ms", task->delay_ms, LATER_MOST_MS },
        { "schedule_to_start_ms", task->schedule_to_start_ms, LATER_MOST_MS },
        { "schedule_to_close_ms", task->schedule_to_close_ms, LATER_MOST_MS },
        { "failures_max", task->failures_max, FAILURES_MOST },
        { "crashes_max", task->crashes_max, CRASHES_MOST },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value > rows[i].limit)
            return too_much(why, rows[i].field, rows[i].limit, rows[i].value);
    const uint64_t latest = (uint64_t)(now_ms + LATER_MOST_MS);
    if (task->not_before_ms <= latest)
        return 0;
    why->limit = latest;
    why->current = task->not_before_ms;
    return refusal_say(why, STATUS_INVALID, "not_before_ms",
                       "must be milliseconds since 1970, at most " LATER_MOST_TEXT " from now");
}

static bool by_name(struct slice reuse)
{
    return reuse.size == 0 || slice_is(reuse, "name");
}

static bool may_reuse(struct slice reuse)
{
    return by_name(reuse) || slice_is(reuse, "input") || slice_is(reuse, "never");
}

int task_read(struct slice bytes, int64_t now_ms, struct m_task *ret_task, struct refusal *why)
{
    const char *field = NULL;
    int r = message_decode(&m_task_layout, bytes, ret_task, &field);
    if (r)
        return refusal_say(why, r, field, "%s",
                           r == STATUS_INVALID ? "missing, of the wrong type or too long"
                                               : "a task is a map");
    if (!task_id_valid(ret_task->id))
        return refusal_say(why, STATUS_INVALID, "id", TASK_ID_RULE);
    if (!task_name_valid(ret_task->task))
        return refusal_say(why, STATUS_INVALID, "task", TASK_NAME_RULE);
    if (ret_task->token.size != WIRE_SUBMIT_TOKEN_SIZE)
        return refusal_say(why, STATUS_INVALID, "token", "must be %d random bytes",
                           WIRE_SUBMIT_TOKEN_SIZE);
    if (ret_task->input.size && codec_depth(ret_task->input) > WIRE_VALUE_DEPTH_MAX)
        return refusal_say(why, STATUS_INVALID, "input", "is nested deeper than %d levels",
                           WIRE_VALUE_DEPTH_MAX);
    if (ret_task->callback.size && !url_valid(ret_task->callback))
        return refusal_say(why, STATUS_INVALID, "callback", URL_RULE);
    if (!may_reuse(ret_task->reuse))
        return refusal_say(why, STATUS_INVALID, "reuse", "must be name, input or never");
    return check_waits(ret_task, now_ms, why);
}

void limits_fill(struct limits *self, const struct limits *from)
{
    if (!self->failures_max)
        self->failures_max = from->failures_max;
    if (!self->crashes_max)
        self->crashes_max = from->crashes_max;
    if (!self->retry_ms)
        self->retry_ms = from->retry_ms;
}

void limits_pack(const struct limits *limits, msgpack_packer *pk)
{
    msgpack_pack_fix_uint8(pk, (uint8_t)limits->crashes_max);
    msgpack_pack_fix_uint16(pk, (uint16_t)limits->failures_max);
    msgpack_pack_fix_uint32(pk, limits->retry_ms);
}

/* The functions read these by their offset, so all have fixed widths. */
static void pack_prefix(const struct m_task *task, const struct limits *limits, int64_t created_ms,
                        bool refers, msgpack_packer *pk)
{
    msgpack_pack_fix_uint64(pk, (uint64_t)created_ms);
    msgpack_pack_uint8(pk, (uint8_t)((task->owner.size ? BODY_OWNED : 0) |
                                     (task->callback.size ? BODY_CALLBACK : 0) |
                                     (refers ? BODY_REFERS : 0)));
    limits_pack(limits, pk);
}

void task_pack_body(const struct m_task *task, const struct limits *limits, uint32_t priority,
                    int64_t created_ms, bool refers, msgpack_packer *pk)
{
    pack_prefix(task, limits, created_ms, refers, pk);
    msgpack_pack_map(pk, 2u + (task->owner.size ? 1 : 0) + (task->timeout_ms ? 1 : 0));
    pack_text(pk, "input");
    if (task->input.size && !codec_is_nil(task->input))
        pack_raw(pk, task->input);
    else
        msgpack_pack_map(pk, 0);
    if (task->owner.size) {
        pack_text(pk, "owner");
        pack_slice(pk, task->owner);
    }
    if (task->timeout_ms) {
        pack_text(pk, "timeout_ms");
        msgpack_pack_uint32(pk, task->timeout_ms);
    }
    pack_text(pk, "priority");
    pack_text(pk, priority_text(priority));
    pack_bin(pk, task->token);
}

void task_pack_extra(const struct m_task *task, msgpack_packer *pk)
{
    const struct slice reuse = by_name(task->reuse) ? slice_make(NULL, 0) : task->reuse;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        { "delay_ms", task->delay_ms },
        { "not_before_ms", task->not_before_ms },
        { "to_start_ms", task->schedule_to_start_ms },
        { "to_close_ms", task->schedule_to_close_ms },
    };
    const struct {
        const char *name;
        struct slice text;
    } texts[] = {
        { "owner", task->owner },
        { "callback", task->callback },
        { "reuse", reuse },
    };
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        count += texts[i].text.size != 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        count += rows[i].value != 0;
    if (count == 0)
        return;
    msgpack_pack_map(pk, count);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].value) {
            pack_text(pk, rows[i].name);
            msgpack_pack_uint64(pk, rows[i].value);
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].text.size) {
            pack_text(pk, texts[i].name);
            pack_slice(pk, texts[i].text);
        }
    }
}
