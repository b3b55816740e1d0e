/* The ffmpeg service: its four nodes as rows. The work is done by gantry-engine, see engine.h. */
#include "services/worker/node.h"

// clang-format off
#define OFF NODE_PACKED("\xc2")
#define ON NODE_PACKED("\xc3")
#define ZIP NODE_PACKED("\xa3zip")
#define LEVEL NODE_PACKED("\xa7" "default")
#define NONE { NULL, 0 }

static const struct gantry_input extract_keyframes_inputs[] = {
    { "video_path", "path", true, NONE, "the video", NULL },
    { "keyframe_sample_count", "whole", false, NODE_PACKED("\x64"), "pictures to take, 1 to 10000, spread evenly over the video; fewer when it has fewer", NULL },
    { "upload_keyframes_to_minio", "switch", false, OFF, "upload the folder: {task_id}/keyframes/...", NULL },
    { "compress_keyframes_before_upload", "switch", false, OFF, "upload it as one archive, {task_id}/keyframes/keyframes_compressed.zip or .tar.gz", NULL },
    { "keyframe_compression_format", "text", false, ZIP, "zip or tar.gz", NULL },
    { "keyframe_compression_level", "text", false, LEVEL, "store, fast, default or maximum", NULL },
    { "delete_local_keyframes_after_upload", "switch", false, OFF, "keep it only in the store, once that has all of it; keyframe_dir is its address then", NULL },
};
static const char *const extract_keyframes_outputs[] = {
    "keyframe_dir", "keyframe_files_count", "keyframe_minio_url", "keyframe_compressed_archive_url", "keyframe_uploaded_files",
    "keyframe_compression_info", "keyframe_upload_error", NULL
};
static const char *const extract_keyframes_key[] = { "keyframe_dir", NULL };

static const struct gantry_input extract_audio_inputs[] = {
    { "video_path", "path", true, NONE, "the video", NULL },
};
static const char *const extract_audio_outputs[] = { "audio_path", NULL };
static const char *const extract_audio_key[] = { "audio_path", NULL };

static const struct gantry_input crop_subtitle_images_inputs[] = {
    { "video_path", "path", true, NONE, "the video", NULL },
    { "subtitle_area", "list", false, NONE, "[x1, y1, x2, y2] in pixels of the picture as shown; needed, from one or the other", "subtitle_area" },
    { "upload_cropped_images_to_minio", "switch", false, OFF, "upload the folder: {task_id}/cropped_images/...", NULL },
    { "compress_directory_before_upload", "switch", false, OFF, "upload it as one archive, {task_id}/cropped_images/frames_compressed.zip or .tar.gz", NULL },
    { "compression_format", "text", false, ZIP, "zip or tar.gz; with another it is uploaded as it is", NULL },
    { "compression_level", "text", false, LEVEL, "store, fast, default or maximum", NULL },
    { "delete_local_cropped_images_after_upload", "switch", false, OFF, "keep it only in the store, once that has all of it; cropped_images_path is its address then", NULL },
    { "decode_processes", "whole", false, NODE_PACKED("\x0a"), "most ffmpeg at once, 1 to 64; never more than there are processors", NULL },
};
static const char *const crop_subtitle_images_outputs[] = {
    "cropped_images_path", "cropped_images_files_count", "cropped_images_minio_url", "cropped_images_uploaded_files",
    "compressed_archive_url", "compression_info", "fallback_from_compression", "cropped_images_upload_error", NULL
};
static const char *const crop_subtitle_images_key[] = { "cropped_images_path", NULL };

static const struct gantry_input split_audio_segments_inputs[] = {
    { "audio_path", "path", true, NONE, "the sound, or a video with sound", "vocal_audio,audio_path" },
    { "subtitle_path", "path", true, NONE, "SRT, or JSON of segments [{start, end, text, speaker?}] or {segments: [...]}", "subtitle_path" },
    { "group_by_speaker", "switch", false, OFF, "a folder for each speaker", NULL },
    { "output_format", "text", false, NODE_PACKED("\xa3wav"), "wav, mp3 or flac", NULL },
    { "sample_rate", "whole", false, NODE_PACKED("\xcd\x3e\x80"), "Hz, 1000 to 192000", NULL },
    { "channels", "whole", false, NODE_PACKED("\x01"), "1 to 8", NULL },
    { "min_segment_duration", "number", false, NODE_PACKED("\xcb\x3f\xf0\0\0\0\0\0\0"), "seconds; shorter ones are skipped, and counted in the listing", NULL },
    { "max_segment_duration", "number", false, NODE_PACKED("\xcb\x40\x3e\0\0\0\0\0\0"), "seconds; longer ones are cut into equal parts", NULL },
    { "include_silence", "switch", false, OFF, "cut out what lies between the subtitles too", NULL },
    { "enable_concurrent", "switch", false, ON, "encode several at once (wav needs no encoding)", NULL },
    { "max_workers", "whole", false, NODE_PACKED("\x08"), "most at once, 1 to 64; never more than there are processors", NULL },
    { "concurrent_timeout", "whole", false, NODE_PACKED("\xcd\x02\x58"), "seconds for encoding all; segments not done by then have failed", NULL },
};
static const char *const split_audio_segments_outputs[] = {
    "audio_segments_dir", "audio_source", "subtitle_source", "total_segments", "successful_segments", "failed_segments",
    "total_duration", "processing_time", "audio_format", "sample_rate", "channels", "split_info_file", "segments_count",
    "speaker_summary", NULL
};
static const char *const split_audio_segments_key[] = { "audio_segments_dir", NULL };

#define NODE(method, text) { .name = "ffmpeg." #method, .doc = (text), .inputs = method##_inputs, \
    .inputs_count = sizeof method##_inputs / sizeof method##_inputs[0], .outputs = method##_outputs, .key = method##_key, .space = true }

static const struct node_row rows[] = {
    NODE(extract_audio, "the sound of a video as WAV, pcm_s16le, 16 kHz, mono: {folder}/audio/{name}.wav"),
    NODE(extract_keyframes, "pictures spread evenly over a video: {folder}/keyframes/frame_000000.jpg and on"),
    NODE(crop_subtitle_images, "the subtitle's area of every picture: {folder}/cropped_images/frames/frame_{index from 0, 8 digits}.jpg"),
    NODE(split_audio_segments, "one sound file for each subtitle, and a listing: {folder}/audio_segments/split_info.json"),
};
// clang-format on

const struct node_table nodes_ffmpeg = { "ffmpeg", rows, sizeof rows / sizeof rows[0] };
