#pragma once
/* A record as HTTP users know it: the context. What the front-end service answers and what
 * callbacks carry is built here, once. Pure. All texts of times are UTC, ISO 8601 with milliseconds
 * and Z. */
#include "proto/gantry.h"

#include <jansson.h>

/* How a stage's state is told: "pending", "running", "completed", "failed", "cancelled" as a
 * task's status; "PENDING", "RUNNING", "SUCCESS", "SKIPPED", "FAILED", "CANCELLED" within a context
 * (design: docs/states.md has the table). */
const char *context_status(const char *state);
const char *context_stage_status(const char *state);
/* Completed or skipped, failed, quarantined, cancelled: nothing more happens by itself. */
bool context_is_final(const char *state);

/* "2026-01-31T03:00:00.123Z"; "" for 0. */
const char *context_time(uint64_t ms, char text[32]);

/* What a stage was asked for last; borrowed from the record: the stage that something happened to
 * last. NULL: there is none. */
const struct gantry_stage *context_newest(const gantry_record_t *record);

/* The context: workflow_id, create_at, input_params {task_name, input_data, callback_url},
 * shared_storage_path, stages {name: {status, input_params, output, error, duration}}, error.
 * task: the stage that input_params are of (NULL or not there: the newest), and, with only_task,
 * the only one in stages. error: the message of that stage's error, or null; each stage has its
 * own. duration: seconds of the last attempt, 0 before its end. 0 or -ENOMEM. */
int context_of(const gantry_record_t *record, const char *task, bool only_task,
               json_t **ret_context);

/* Links of objects: every output named *_minio_url (a text or a list of texts) as {name, url, type,
 * size}; type by the extension: video audio subtitle text data image or unknown; size null when not
 * known. An empty list when there is none. task NULL: of all stages. 0 or -ENOMEM. */
int context_files(const gantry_record_t *record, const char *task, json_t **ret_files);

/* {reuse_hit: true, task_name, source: "redis", cached_at} of a hit on this completed stage;
 * {..., state: "pending"} of a wait; {reuse_hit: false, task_name} of a miss. how as a receipt's
 * reuse says. NULL when out of memory. stage is needed for a hit only. */
json_t *context_reuse(const char *how, const char *task, const struct gantry_stage *stage);
