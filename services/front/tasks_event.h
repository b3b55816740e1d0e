#pragma once
/* The texts of a stream of server-sent events. Pure. Each is the caller's to free, NULL when out of
 * memory. */
#include "proto/gantry.h"
#include "proto/message.h"

/* "snapshot": the context, with the number that it belongs to. */
char *event_snapshot(const gantry_record_t *record, uint64_t seq);
/* "update": {task_name, state, status, at}. */
char *event_update(const struct m_update *update);
/* "progress": {task_name, progress}. Without a number: it is not kept. */
char *event_progress(const struct gantry_stage *stage);
/* "end": {task_id, status}. */
char *event_end(const char *id, const char *status);

/* The number that a reader names as the last it has seen; absent (NULL) or empty: 0. False: it is
 * none. */
bool event_number(const char *text, uint64_t *ret_number);
