#include "services/state/stages.h"

#include "common/status.h"
#include "services/state/reply.h"

#include <errno.h>

enum { STAGE_FIELDS = 5 };

void stages_clear(struct stages *self)
{
    free(self->items);
    *self = (struct stages){ 0 };
}

int stages_read(struct stages *ret_stages, const redisReply *reply, size_t *at)
{
    if (!reply_has(reply, *at + 1))
        return STATUS_INTERNAL;
    const int64_t count = reply_whole(reply->element[*at]);
    if (count < 0 || !reply_has(reply, *at + 1 + (size_t)count * STAGE_FIELDS))
        return STATUS_INTERNAL;
    struct stages stages = { .items = calloc((size_t)count + 1, sizeof *stages.items) };
    if (!stages.items)
        return -ENOMEM;
    redisReply *const *fields = reply->element + *at + 1;
    for (int64_t i = 0; i < count; i++, fields += STAGE_FIELDS) {
        struct stage *stage = &stages.items[stages.count];
        if (!stage_read(reply_text(fields[0]), reply_text(fields[1]), reply_text(fields[2]),
                        reply_text(fields[3]), stage))
            continue;
        stage_read_callbacks(stage, reply_text(fields[4]));
        stages.count++;
    }
    *at += 1 + (size_t)count * STAGE_FIELDS;
    *ret_stages = stages;
    return 0;
}

const struct stage *stages_find(const struct stages *self, struct slice task)
{
    for (size_t i = 0; i < self->count; i++)
        if (slice_equal(self->items[i].task, task))
            return &self->items[i];
    return NULL;
}

bool stages_ended(const struct stages *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (!stage_ended(&self->items[i]))
            return false;
    return true;
}

bool stages_external(const struct stages *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].external && !stage_ended(&self->items[i]))
            return true;
    return false;
}
