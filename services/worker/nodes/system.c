/* The system service: nodes for tests and first steps. */
#include "services/worker/node.h"

#include "common/status.h"
#include "proto/codec.h"

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
};

const struct node_table nodes_system = { "system", rows, sizeof rows / sizeof rows[0] };
