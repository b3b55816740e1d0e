#pragma once
/* A task as it is submitted: what it may say, and the bytes of it that the functions take. Knows no
 * Redis and no clock. */
#include "proto/message.h"
#include "services/state/refusal.h"

enum { FAILURES_MOST = 1000, CRASHES_MOST = 100 };
/* No wait is longer. */
#define LATER_MOST_MS INT64_C(315576000000)
#define LATER_MOST_TEXT "ten years (315576000000 ms)"

/* How often a stage may fail or crash, and its first wait after a failure; 0 where nothing is said.
 */
struct limits {
    uint32_t failures_max, crashes_max, retry_ms;
};

/* Reads one item of a SUBMIT. now_ms is wall clock. 0, or a status, told in why with the field. */
int task_read(struct slice bytes, int64_t now_ms, struct m_task *ret_task, struct refusal *why);

/* Fills what self does not say. */
void limits_fill(struct limits *self, const struct limits *from);

/* As they stand in a body. */
void limits_pack(const struct limits *limits, msgpack_packer *pk);

/* The stage's body as Redis keeps it. created_ms is Redis' wall clock; refers: its inputs depend on
 * other stages. */
void task_pack_body(const struct m_task *task, const struct limits *limits, uint32_t priority,
                    int64_t created_ms, bool refers, msgpack_packer *pk);
/* What it calls extra; nothing is written when there is none. */
void task_pack_extra(const struct m_task *task, msgpack_packer *pk);
