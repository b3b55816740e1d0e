#pragma once
/* The stages of a record, out of gantry_get's reply. */
#include "services/state/record.h"

#include <hiredis/hiredis.h>

struct stages {
    struct stage *items; /* owned */
    size_t count;
};

void stages_clear(struct stages *self);

/* Reads the next reference's stages at *at, and steps over them. 0 (also when there are none: no
 * such task), STATUS_INTERNAL (a reply of another shape) or -ENOMEM. What is no stage (somebody
 * else wrote there) is left out. */
int stages_read(struct stages *ret_stages, const redisReply *reply, size_t *at);

/* NULL: no such stage. */
const struct stage *stages_find(const struct stages *self, struct slice task);
bool stages_ended(const struct stages *self);
/* An outside processor has one of them, which has not ended. */
bool stages_external(const struct stages *self);
