/* Created tasks that nobody of ours has: noticed, and taken with a claim of their service. */
#include "services/state/created.h"

#include "common/log.h"
#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/state.h"
#include "services/state/task.h"

enum { LOOK_FIELDS = 3 };

bool created_service(struct slice service)
{
    return slice_is(service, CREATED_SERVICE);
}

void created_limits(const state_t *self, struct command *command)
{
    msgpack_sbuffer bytes;
    msgpack_packer pk;
    const struct m_task task = { .task = SLICE(CREATED_TASK) };
    const struct limits limits = submit_limits(self, &task);
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&pk, &bytes, msgpack_sbuffer_write);
    limits_pack(&limits, &pk);
    command_arg(command, slice_make(bytes.data, bytes.size));
    msgpack_sbuffer_destroy(&bytes);
}

/* waiting dropped latest */
static void on_look(void *arg, int status, const redisReply *reply)
{
    state_t *self = arg;
    if (status == STATUS_INTERNAL)
        log_event_seldom(LOG_LEVEL_ERROR, "created_look_failed", "why=%s", reply ? reply->str : "");
    if (status || !reply_is_array(reply, LOOK_FIELDS) || self->stopping)
        return;
    const int64_t dropped = reply_whole(reply->element[1]) + 1;
    if (self->created_dropped && dropped > self->created_dropped)
        log_event(LOG_LEVEL_WARN, "created_dropped", "count=%lld latest=%.*s",
                  (long long)(dropped - self->created_dropped),
                  SLICE_ARG(reply_text(reply->element[2])));
    self->created_dropped = dropped;
    if (reply_whole(reply->element[0]) > 0)
        state_say_ready(self, SLICE(CREATED_SERVICE));
}

void created_look(state_t *self)
{
    (void)store_call(self->store, store_function(self->store, "created"), on_look, self);
}
