/* TASKS: a walk over all tasks, a slice a call, or a look at some of them. */
#include "services/state/tasks.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/reply.h"
#include "services/state/state.h"

enum { LIMIT_DEFAULT = 256, LIMIT_MOST = 1000, CURSOR_MAX = 20 };
#define TIME_MOST_MS ((uint64_t)1 << 53) /* as far as the functions count */

size_t tasks_count(const redisReply *reply)
{
    return reply_has(reply, 1) ? (reply->elements - 1) / TASKS_ITEM_FIELDS : 0;
}

void tasks_at(const redisReply *reply, size_t index, struct m_task_item *ret_item)
{
    redisReply *const *fields = reply->element + 1 + index * TASKS_ITEM_FIELDS;
    *ret_item = (struct m_task_item){
        .id = reply_text(fields[0]),
        .owner = reply_text(fields[1]),
        .created_ms = (uint64_t)reply_whole(fields[2]),
        .ended_ms = (uint64_t)reply_whole(fields[3]),
        .living = reply_whole(fields[4]) == 1,
    };
}

bool tasks_read(const redisReply *reply)
{
    return reply_has(reply, 1) && (reply->elements - 1) % TASKS_ITEM_FIELDS == 0;
}

static void pack_page(const redisReply *reply, msgpack_packer *pk)
{
    const struct slice cursor = reply_text(reply->element[0]);
    const bool more = !slice_is(cursor, "0");
    const size_t count = tasks_count(reply);
    msgpack_pack_map(pk, 2);
    pack_text(pk, "cursor");
    pack_slice(pk, more ? cursor : SLICE(""));
    pack_text(pk, "items");
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++) {
        struct m_task_item item;
        tasks_at(reply, i, &item);
        message_encode(&m_task_item_layout, &item, pk);
    }
}

static void on_tasks(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (!status && !tasks_read(reply))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    pack_page(reply, state_packer(ask->state));
    ask_answer(&ask, STATUS_OK, 0, state_packed(ask->state));
}

static bool cursor_good(struct slice cursor)
{
    char text[CURSOR_MAX + 2];
    const bool fits = slice_copy(cursor, text, sizeof text);
    const char *digits = fits && *text == 'c' ? text + 1 : text; /* as the function gives them */
    return fits && (*digits || digits == text) && !digits[strspn(digits, "0123456789")];
}

static int check(const struct m_tasks *said, struct refusal *why)
{
    if (said->limit > LIMIT_MOST)
        return refusal_say(why, STATUS_INVALID, "limit", "must be at most %d", LIMIT_MOST);
    if (said->created_before_ms > TIME_MOST_MS)
        return refusal_say(why, STATUS_INVALID, "created_before_ms",
                           "is no time: milliseconds since 1970");
    if (!cursor_good(said->cursor))
        return refusal_say(why, STATUS_INVALID, "cursor", "is none that an answer gave");
    return 0;
}

/* *ret_count: how many there are, 0 where none are named. */
static int put_ids(struct command *command, struct slice ids, struct refusal *why,
                   uint32_t *ret_count)
{
    struct reader reader;
    *ret_count = 0;
    if (ids.size == 0 || codec_is_nil(ids))
        return 0;
    if (!codec_array(ids, &reader, ret_count) || *ret_count == 0 || *ret_count > TASKS_IDS_MAX)
        return refusal_say(why, STATUS_INVALID, "ids", "must be a list of 1 to %d task ids",
                           TASKS_IDS_MAX);
    for (uint32_t i = 0; i < *ret_count; i++) {
        struct slice value = { 0 }, id = { 0 };
        (void)reader_value(&reader, &value); /* the body was checked */
        if (!codec_str(value, &id) || !task_id_valid(id))
            return refusal_say(why, STATUS_INVALID, "ids", "a task's id " TASK_ID_RULE);
        command_arg(command, id);
    }
    return 0;
}

void tasks_asked(state_t *self, ask_t *ask)
{
    struct m_tasks said = { 0 };
    struct refusal why = { 0 };
    uint32_t count = 0;
    if (ask_body(ask).size && !state_read(&ask, &m_tasks_layout, &said))
        return;
    if (check(&said, &why)) {
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "tasks");
    command_arg(command, said.cursor.size ? said.cursor : SLICE("0"));
    command_whole(command, said.limit ? said.limit : LIMIT_DEFAULT);
    command_whole(command, said.created_before_ms);
    if (put_ids(command, said.ids, &why, &count))
        ask_refuse(&ask, &why);
    else
        state_call_large(ask, count ? self->records : self->large, command, on_tasks);
}
