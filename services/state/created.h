#pragma once
/* A created task as its HASH has it. Knows no Redis but its replies. */
#include "proto/message.h"

#include <hiredis/hiredis.h>

/* What our workers run for them. */
#define CREATED_SERVICE "video"
#define CREATED_TASK CREATED_SERVICE ".process"
bool created_service(struct slice service);

/* Borrowed from the reply; fit for a message. */
struct created {
    struct slice status, result_file_path, error_message, created_at, updated_at;
};

/* Out of gantry_task_status' reply; false: that is another answer. */
bool created_read(const redisReply *reply, struct created *ret_created);
