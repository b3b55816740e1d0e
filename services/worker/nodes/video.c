/* The video service: what our own workers do for created tasks. The work is done by gantry-engine,
 * see engine.h. */
#include "services/worker/node.h"

// clang-format off
static const struct gantry_input process_inputs[] = {
    { "video_path", "path", true, { NULL, 0 }, "the video", NULL },
};
static const char *const process_outputs[] = { "result_file_path", NULL };
static const char *const process_key[] = { "result_file_path", NULL };

static const struct node_row rows[] = {
    { .name = "video.process", .doc = "the video as browsers play it, MP4 with H.264 yuv420p and AAC, its index first: {folder}/result.mp4; what fits already is copied",
      .inputs = process_inputs, .inputs_count = sizeof process_inputs / sizeof process_inputs[0], .outputs = process_outputs,
      .key = process_key, .space = true },
};
// clang-format on

const struct node_table nodes_video = { "video", rows, sizeof rows / sizeof rows[0] };
