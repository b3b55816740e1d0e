#pragma once
/* The task that pushes an uploaded file into the store: submitted, and waited for. */
#include "proto/gantry.h"
#include "services/front/upload_disk.h"

struct front;

/* 0: it is kept; else a receipt that says why not. */
typedef void push_kept_fn(void *arg, const struct gantry_receipt *receipt);
/* 0: kept will be called, once; else a status or -errno. */
int push_submit(struct front *front, const struct upload_about *about, push_kept_fn *kept,
                void *arg);

/* The task's end, or a look at it: status 0 and its record. timeout_ms as gantry_wait_begin has it;
 * GANTRY_TIMEOUT: it goes on. 0: done will be called, once. */
int push_wait(struct front *front, const char *id, int64_t timeout_ms, gantry_waited_fn *done,
              void *arg);
/* A text of the stage's output; false: there is none. */
bool push_output(const struct gantry_stage *stage, const char *key, char *text, size_t size);
