/* The system service: the delivery of callbacks, and nodes for tests and first steps. */
#include "services/worker/node.h"

#include "common/status.h"
#include "proto/codec.h"
#include "services/worker/callback.h"

// clang-format off
#define NONE { NULL, 0 }
#define NIL NODE_PACKED("\xc0")

static const struct gantry_input echo_inputs[] = {
    { "value", "any", false, NIL, "whatever shall come back", NULL },
};
static const char *const echo_outputs[] = { "value", NULL };

static const struct gantry_input sleep_inputs[] = {
    { "seconds", "number", true, NONE, "how long, 0 to 86400", NULL },
    { "message", "text", false, NONE, "printed on error output first", NULL },
    { "exit", "whole", false, NODE_PACKED("\x00"), "exit code of the engine, 0 to 255; other than 0 is a failure", NULL },
};
static const char *const sleep_outputs[] = { "slept_ms", NULL };

static const struct gantry_input fail_inputs[] = {
    { "verdict", "text", false, NODE_PACKED("\xa6" "failed"), "failed (for good), retry or snooze", NULL },
    { "message", "text", false, NONE, "the reason", NULL },
    { "attempts", "whole", false, NODE_PACKED("\x00"), "attempts that end so, before one completes; 0: all", NULL },
    { "after_ms", "whole", false, NONE, "when the next attempt is due; of a retry else by the back-off, of a snooze 1000", NULL },
    { "exit", "whole", false, NODE_PACKED("\x00"), "exit code, 0 to 255: other than 0 instead of a verdict; 75 is a retry", NULL },
    { "signal", "whole", false, NODE_PACKED("\x00"), "signal that it raises, 0 to 64: other than 0 instead of a verdict", NULL },
};
static const char *const fail_outputs[] = { "attempt", "failures", "crashes", NULL };

static const struct gantry_input cleanup_inputs[] = {
    { "dry_run", "switch", false, NODE_PACKED("\xc2"), "true: only tell what would be removed", NULL },
    { "retention_ms", "whole", false, NONE, "age at which a task goes once all of it has ended; 0: never; else storage.retention_ms", NULL },
    { "grace_ms", "whole", false, NONE, "age of folders without a record, and of records without their folder; else the larger of cleanup.grace_ms and front.upload_ms", NULL },
    { "tmp_ms", "whole", false, NONE, "age of temporary files and of trash; else cleanup.tmp_ms", NULL },
    { "many", "switch", false, NODE_PACKED("\xc2"), "true: removes folders without a record also when there are more than 10 of them, and fewer with one; and records without their folder also when there are more of these than folders with a record", NULL },
};
static const char *const cleanup_outputs[] = { "expired", "temporary", "trash", "orphan_folders", "orphan_records", "strangers", "dry_run", "took_ms", NULL };

static const struct gantry_input callback_inputs[] = {
    { "task_id", "text", true, NONE, "whose record is told", NULL },
    { "task", "text", true, NONE, "the stage that ended, or that was a hit", NULL },
    { "url", "text", true, NONE, "where it is told", NULL },
    { "status", "text", false, NODE_PACKED("\xa9" "completed"), "completed or failed: how the run ended", NULL },
    { "reuse", "text", false, NODE_PACKED("\xa4" "miss"), "hit, or miss: it is the run's own", NULL },
    { "owned", "switch", false, NODE_PACKED("\xc2"), "the task is a user's: private addresses are refused too", NULL },
};
static const char *const callback_outputs[] = { "http_status", "tries", "sent_at_ms", NULL };
static const char *const callback_key[] = { "sent_at_ms", NULL };
// clang-format on

static int echo(struct slice input, msgpack_packer *output)
{
    struct slice value = { NULL, 0 };
    (void)codec_find(input, "value", &value);
    msgpack_pack_map(output, 1);
    pack_text(output, "value");
    pack_raw(output, value);
    return 0;
}

static const struct node_row rows[] = {
    { .name = "system.echo",
      .doc = "answers what it was given, at once",
      .inputs = echo_inputs,
      .inputs_count = sizeof echo_inputs / sizeof echo_inputs[0],
      .outputs = echo_outputs,
      .key = echo_outputs,
      .run = echo },
    { .name = "system.sleep",
      .doc = "sleeps, tells its progress, and fails if it is told to",
      .inputs = sleep_inputs,
      .inputs_count = sizeof sleep_inputs / sizeof sleep_inputs[0],
      .outputs = sleep_outputs,
      .key = sleep_outputs },
    { .name = "system.fail",
      .doc = "fails in the way it is told to, as often as it is told to",
      .inputs = fail_inputs,
      .inputs_count = sizeof fail_inputs / sizeof fail_inputs[0],
      .outputs = fail_outputs,
      .key = fail_outputs },
    { .name = "system.cleanup",
      .doc = "removes what has expired, and files that nobody works at any more",
      .inputs = cleanup_inputs,
      .inputs_count = sizeof cleanup_inputs / sizeof cleanup_inputs[0],
      .outputs = cleanup_outputs,
      .key = cleanup_outputs,
      .timeout_ms = 3600000 },
    { .name = "system.callback",
      .doc = "tells an address how a run ended; made when it ends, by nobody else",
      .inputs = callback_inputs,
      .inputs_count = sizeof callback_inputs / sizeof callback_inputs[0],
      .outputs = callback_outputs,
      .key = callback_key,
      .async = &callback_async },
};

const struct node_table nodes_system = { "system", rows, sizeof rows / sizeof rows[0] };
