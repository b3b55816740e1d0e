#pragma once
/* What the two files of ffmpeg.split_audio_segments share: the work itself, and its listing. */
#include "services/worker/engine.h"
#include "services/worker/segments.h"

#define SPLIT_FOLDER "audio_segments"

struct split {
    engine_t *engine;
    int64_t began_ms;
    const char *audio_path, *subtitle_path, *format;
    uint64_t sample_rate, channels;
    bool grouped;
    struct segment_rules rules;
    size_t parallel;
    int64_t limit_ms;
    subtitle_t *subtitle;
    segments_t *segments;
    size_t *wanted; /* places in segments */
    size_t wanted_count, ended;
};

void split_clear(struct split *self);
/* audio_segments/[speaker/]segment_0001.wav: the number is the place in the list, from 1. */
void split_file(const struct split *self, size_t index, char *file, size_t size);
/* A part of raw samples as a WAV file. 0 or -errno. */
int split_write_wav(const struct split *self, int samples, const struct segment *segment,
                    const char *file);
/* Writes split_info.json and puts the output; refuses when all failed, skips when nothing was
 * wanted. */
int split_report(struct split *self);
