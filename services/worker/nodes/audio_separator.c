/* The audio_separator service: its node as a row. The work is done by gantry-engine. */
#include "services/worker/node.h"

// clang-format off
#define NONE { NULL, 0 }

static const struct gantry_input separate_vocals_inputs[] = {
    { "audio_path", "path", false, NONE, "the sound; not looked at when a video is given", "audio_path" },
    { "video_path", "path", false, NONE, "a video, whose own sound is separated", NULL },
    { "audio_separator_config", "map", false, NONE, "model_name, quality_mode, use_vocal_optimization, vocal_optimization_level, model_type: see below", NULL },
};
static const char *const separate_vocals_outputs[] = { "all_audio_files", "vocal_audio", "model_used", "quality_mode", NULL };
static const char *const separate_vocals_key[] = { "all_audio_files", "vocal_audio", NULL };
// clang-format on

static const struct node_row rows[] = {
    { .name = "audio_separator.separate_vocals",
      .doc = "the voice of a sound, and all but the voice: "
             "{folder}/audio_separated/{name}_(Vocals).wav and {name}_(Instrumental).wav",
      .inputs = separate_vocals_inputs,
      .inputs_count = sizeof separate_vocals_inputs / sizeof separate_vocals_inputs[0],
      .outputs = separate_vocals_outputs,
      .key = separate_vocals_key,
      .space = true },
};

const struct node_table nodes_audio_separator = { "audio_separator", rows,
                                                  sizeof rows / sizeof rows[0] };
