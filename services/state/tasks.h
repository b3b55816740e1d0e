#pragma once
/* What the function gantry_tasks answers: of each task its id, owner, created_ms, ended_ms, living.
 */
#include "proto/message.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>

enum { TASKS_ITEM_FIELDS = 5, TASKS_IDS_MAX = 1000 };

/* It is such an answer. */
bool tasks_read(const redisReply *reply);
size_t tasks_count(const redisReply *reply);
/* Borrowed from the reply. */
void tasks_at(const redisReply *reply, size_t index, struct m_task_item *ret_item);
