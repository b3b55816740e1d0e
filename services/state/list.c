/* LIST and QUEUES. */
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/reply.h"
#include "services/state/state.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MOST = 1000, ITEM_FIELDS = 4, QUEUE_FIELDS = 5 };
#define TIME_MOST_MS ((uint64_t)1 << 53) /* as far as the functions count */

static bool wrong_cursor(const redisReply *reply)
{
    static const char text[] = "ERR gantry_list: cursor";
    return reply && reply->type == REDIS_REPLY_ERROR && reply->len >= sizeof text - 1 &&
           memcmp(reply->str, text, sizeof text - 1) == 0;
}

/* Texts as they came: from LIST's reply a state is a text or a number. */
static struct slice item_state(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER)
        return slice_of(state_text((int)reply->integer));
    const struct slice text = reply_text(reply);
    const uint8_t *first = text.data;
    if (text.size == 1 && *first >= '0' && *first <= '9')
        return slice_of(state_text(*first - '0'));
    return text;
}

static void pack_item(const redisReply *const *fields, msgpack_packer *pk)
{
    msgpack_pack_map(pk, ITEM_FIELDS);
    pack_text(pk, "id");
    pack_slice(pk, reply_text(fields[0]));
    pack_text(pk, "task");
    pack_slice(pk, reply_text(fields[1]));
    pack_text(pk, "state");
    pack_slice(pk, item_state(fields[2]));
    pack_text(pk, "at_ms");
    msgpack_pack_uint64(pk, (uint64_t)reply_whole(fields[3]));
}

static void on_listed(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (wrong_cursor(reply)) {
        struct refusal why = { 0 };
        refusal_say(&why, STATUS_INVALID, "cursor", "is none that an answer gave");
        ask_refuse(&ask, &why);
        return;
    }
    if (!status && (!reply_has(reply, 1) || (reply->elements - 1) % ITEM_FIELDS))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    const size_t count = (reply->elements - 1) / ITEM_FIELDS;
    msgpack_packer *pk = state_packer(ask->state);
    msgpack_pack_map(pk, 2);
    pack_text(pk, "items");
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++)
        pack_item((const redisReply *const *)&reply->element[1 + i * ITEM_FIELDS], pk);
    pack_text(pk, "cursor");
    pack_slice(pk, reply_text(reply->element[0]));
    ask_answer(&ask, STATUS_OK, 0, state_packed(ask->state));
}

static bool is_filter(struct slice state)
{
    static const char *const filters[] = { "",       "scheduled", "pending", "running", "completed",
                                           "failed", "cancelled", "ended",   "dead" };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (slice_is(state, filters[i]))
            return true;
    return false;
}

void list_asked(state_t *self, ask_t *ask)
{
    struct m_list said = { 0 };
    struct refusal why = { 0 };
    if (ask_body(ask).size && !state_read(&ask, &m_list_layout, &said))
        return;
    if (!is_filter(said.state))
        refusal_say(&why, STATUS_INVALID, "state",
                    "must be scheduled, pending, running, completed, failed, cancelled, ended or "
                    "dead");
    else if (said.service.size && !service_valid(said.service))
        refusal_say(&why, STATUS_INVALID, "service", "must be 1 to 32 of [a-z0-9_]");
    else if (said.task.size && !task_name_valid(said.task))
        refusal_say(&why, STATUS_INVALID, "task", TASK_NAME_RULE);
    else if (said.limit > LIMIT_MOST)
        refusal_say(&why, STATUS_INVALID, "limit", "must be at most %d", LIMIT_MOST);
    else if (said.since_ms > TIME_MOST_MS || said.until_ms > TIME_MOST_MS)
        refusal_say(&why, STATUS_INVALID, said.since_ms > TIME_MOST_MS ? "since_ms" : "until_ms",
                    "is no time: milliseconds since 1970");
    if (why.status) {
        ask_refuse(&ask, &why);
        return;
    }
    struct command *command = store_function(self->store, "list");
    command_arg(command, said.state);
    command_arg(command, said.service);
    command_arg(command, said.task);
    command_whole(command, said.since_ms);
    command_whole(command, said.until_ms);
    command_whole(command, said.limit ? said.limit : LIMIT_DEFAULT);
    command_arg(command, said.cursor);
    state_call_large(ask, self->large, command, on_listed);
}

static void on_queues(void *arg, int status, const redisReply *reply)
{
    static const char *const names[QUEUE_FIELDS] = { "service", "normal", "high", "low",
                                                     "running" };
    ask_t *ask = arg;
    if (!status && (!reply_has(reply, 0) || reply->elements % QUEUE_FIELDS))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    const size_t count = reply->elements / QUEUE_FIELDS;
    msgpack_packer *pk = state_packer(ask->state);
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++) {
        const redisReply *const *fields =
            (const redisReply *const *)&reply->element[i * QUEUE_FIELDS];
        msgpack_pack_map(pk, QUEUE_FIELDS);
        pack_text(pk, names[0]);
        pack_slice(pk, reply_text(fields[0]));
        for (size_t k = 1; k < QUEUE_FIELDS; k++) {
            pack_text(pk, names[k]);
            msgpack_pack_uint64(pk, (uint64_t)reply_whole(fields[k]));
        }
    }
    ask_answer(&ask, STATUS_OK, (uint32_t)count, state_packed(ask->state));
}

void queues_asked(state_t *self, ask_t *ask)
{
    state_call(ask, store_function(self->store, "queues"), on_queues);
}
