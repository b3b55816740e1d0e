/* ffmpeg.split_audio_segments: one sound file for each subtitle.
 *
 * The sound is decoded once to raw samples at the rate wanted, so that cuts are exact to the sample
 * whatever the source was; wav parts are then copied by the kernel, mp3 and flac parts are encoded
 * by several ffmpeg at once. */
#include "services/worker/engine_report.h"
#include "services/worker/media.h"
#include "services/worker/nodes/ffmpeg_split.h"

#include "common/clock.h"
#include "common/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLES "samples.pcm"

enum { SUBTITLE_BYTES_MAX = 64 << 20, WORKERS_MAX = 64 };

static int check_format(struct split *self)
{
    engine_t *engine = self->engine;
    static const uint64_t mp3_rates[] = { 8000,  11025, 12000, 16000, 22050,
                                          24000, 32000, 44100, 48000 };
    const char *format = self->format;
    bool mp3 = strcmp(format, "mp3") == 0;
    if (!mp3 && strcmp(format, "wav") != 0 && strcmp(format, "flac") != 0)
        return engine_refuse(engine, STATUS_INVALID, "output_format",
                             "output_format must be wav, mp3 or flac");
    if (mp3 && self->channels > 2)
        return engine_refuse(engine, STATUS_INVALID, "channels", "mp3 has at most 2 channels");
    bool rate = !mp3;
    for (size_t i = 0; i < sizeof mp3_rates / sizeof mp3_rates[0]; i++)
        rate = rate || mp3_rates[i] == self->sample_rate;
    if (!rate)
        return engine_refuse(engine, STATUS_INVALID, "sample_rate", "mp3 knows no rate of %llu Hz",
                             (unsigned long long)self->sample_rate);
    if (self->rules.max_s < self->rules.min_s)
        return engine_refuse(engine, STATUS_INVALID, "max_segment_duration",
                             "max_segment_duration is less than min_segment_duration");
    return 0;
}

static int read_workers(struct split *self)
{
    engine_t *e = self->engine;
    bool concurrent = false;
    uint64_t workers = 1, timeout_s = 0;
    int r = engine_switch(e, "enable_concurrent", &concurrent);
    r = r ? r : engine_whole(e, "max_workers", 1, WORKERS_MAX, &workers);
    r = r ? r : engine_whole(e, "concurrent_timeout", 1, 86400, &timeout_s);
    if (r != 0 || !concurrent)
        return r;
    size_t processors = media_processors();
    self->parallel = workers < processors ? (size_t)workers : processors;
    self->limit_ms = (int64_t)timeout_s * 1000;
    return 0;
}

static int read_inputs(struct split *self)
{
    engine_t *e = self->engine;
    int r = engine_text(e, "audio_path", &self->audio_path);
    r = r ? r : engine_text(e, "subtitle_path", &self->subtitle_path);
    r = r ? r : engine_switch(e, "group_by_speaker", &self->grouped);
    r = r ? r : engine_text(e, "output_format", &self->format);
    r = r ? r : engine_whole(e, "sample_rate", 1000, 192000, &self->sample_rate);
    r = r ? r : engine_whole(e, "channels", 1, 8, &self->channels);
    r = r ? r : engine_number(e, "min_segment_duration", 0, 86400, &self->rules.min_s);
    r = r ? r : engine_number(e, "max_segment_duration", 0.1, 86400, &self->rules.max_s);
    r = r ? r : engine_switch(e, "include_silence", &self->rules.silence);
    r = r ? r : read_workers(self);
    return r ? r : check_format(self);
}

static int read_subtitle(struct split *self)
{
    scoped_fd int fd = open(self->subtitle_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return engine_refuse(self->engine, STATUS_NOT_FOUND, "subtitle_path", "%s: %s",
                             self->subtitle_path, strerror(errno));
    void *bytes = NULL;
    struct slice all = { NULL, 0 };
    char error[SUBTITLE_ERROR] = "";
    int r = report_read_all(fd, SUBTITLE_BYTES_MAX, &bytes, &all);
    if (r == 0)
        r = subtitle_parse(all, &self->subtitle, error);
    free(bytes);
    if (r > 0)
        return engine_refuse(self->engine, (enum status)r, "subtitle_path", "%s: %s",
                             self->subtitle_path,
                             r == STATUS_TOO_LARGE ? "more than can be worked on" : error);
    return r;
}

/* All of the sound as raw samples; how long it is. */
static int decode(struct split *self)
{
    struct media_info info;
    int r = media_probe(self->engine, "audio_path", self->audio_path, &info);
    if (r != 0)
        return r;
    if (!info.has_audio)
        return engine_refuse(self->engine, STATUS_FAILED, "audio_path", "%s has no audio stream",
                             self->audio_path);

    scoped_in(media_args) args = { 0 };
    media_add_input(&args, self->audio_path);
    const char *options[] = { "-vn", "-sn", "-dn", "-c:a", "pcm_s16le", "-f", "s16le" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        media_add(&args, "%s", options[i]);
    media_add(&args, "-ar");
    media_add(&args, "%llu", (unsigned long long)self->sample_rate);
    media_add(&args, "-ac");
    media_add(&args, "%llu", (unsigned long long)self->channels);
    media_add(&args, "%s", SAMPLES);
    double seconds = info.audio_duration_s > 0 ? info.audio_duration_s : info.duration_s;
    struct media_call call = { .args = &args, .seconds = seconds, .from = 0, .to = 0.5 };
    r = media_call(self->engine, "audio_path", &call);
    if (r != 0)
        return r;

    struct stat about;
    uint64_t bytes = stat(SAMPLES, &about) == 0 ? (uint64_t)about.st_size : 0;
    uint64_t frames = bytes / (2 * self->channels);
    self->rules.audio_s = (double)frames / (double)self->sample_rate;
    return media_check_sound(self->engine, "audio_path", &call.end, self->rules.audio_s,
                             info.audio_duration_s);
}

static int make_folders(const struct split *self)
{
    if (mkdir(SPLIT_FOLDER, 0777) != 0)
        return -errno;
    for (size_t i = 0; self->grouped && i < self->segments->count; i++) {
        char file[SEGMENT_FILE_MAX + 64];
        split_file(self, i, file, sizeof file);
        *strrchr(file, '/') = '\0';
        if (self->segments->items[i].state == SEGMENT_WANTED && mkdir(file, 0777) != 0 &&
            errno != EEXIST)
            return -errno;
    }
    return 0;
}

static void encode_command(void *arg, size_t index, struct media_args *args)
{
    const struct split *self = arg;
    const struct segment *segment = &self->segments->items[self->wanted[index]];
    char file[SEGMENT_FILE_MAX + 64];
    split_file(self, self->wanted[index], file, sizeof file);
    bool mp3 = strcmp(self->format, "mp3") == 0;
    media_add(args, "-f");
    media_add(args, "s16le");
    media_add(args, "-ar");
    media_add(args, "%llu", (unsigned long long)self->sample_rate);
    media_add(args, "-ac");
    media_add(args, "%llu", (unsigned long long)self->channels);
    media_add(args, "-ss");
    media_add(args, "%.6f", segment->start_s);
    media_add(args, "-t");
    media_add(args, "%.6f", segment->end_s - segment->start_s);
    media_add_input(args, SAMPLES);
    media_add(args, "-c:a");
    media_add(args, mp3 ? "libmp3lame" : "flac");
    media_add(args, "-f");
    media_add(args, "%s", self->format);
    media_add(args, "file:%s", file);
}

static int encode_ended(void *arg, size_t index, const struct media_end *end)
{
    struct split *self = arg;
    struct segment *segment = &self->segments->items[self->wanted[index]];
    char file[SEGMENT_FILE_MAX + 64];
    split_file(self, self->wanted[index], file, sizeof file);
    struct stat about;
    if (end->code != 0 && end->full)
        return -ENOSPC;
    if (end->code == -1)
        segment_fail(segment, "not done within concurrent_timeout");
    else if (end->code != 0)
        segment_fail(segment, end->line[0] ? end->line : "ffmpeg failed without a word");
    else if (stat(file, &about) != 0 || about.st_size == 0)
        segment_fail(segment, "ffmpeg made no file");
    else
        segment->state = SEGMENT_DONE;
    if (segment->state == SEGMENT_FAILED)
        (void)unlink(file);
    self->ended++;
    engine_progress(self->engine, 0.5 + 0.5 * (double)self->ended / (double)self->wanted_count);
    return 0;
}

static int cut_with_ffmpeg(struct split *self)
{
    struct media_work work = { .count = self->wanted_count,
                               .parallel = self->parallel,
                               .limit_ms = self->limit_ms,
                               .command = encode_command,
                               .ended = encode_ended,
                               .arg = self };
    return media_run(self->engine, &work);
}

static int cut_by_copying(struct split *self)
{
    scoped_fd int samples = open(SAMPLES, O_RDONLY | O_CLOEXEC);
    if (samples < 0)
        return -errno;
    for (size_t i = 0; i < self->wanted_count; i++) {
        struct segment *segment = &self->segments->items[self->wanted[i]];
        char file[SEGMENT_FILE_MAX + 64];
        split_file(self, self->wanted[i], file, sizeof file);
        int r = split_write_wav(self, samples, segment, file);
        if (r == -ENOSPC || r == -EDQUOT)
            return r;
        if (r != 0)
            segment_fail(segment, strerror(-r));
        else
            segment->state = SEGMENT_DONE;
        engine_progress(self->engine, 0.5 + 0.5 * (double)i / (double)self->wanted_count);
    }
    return 0;
}

static int cut(struct split *self)
{
    self->segments = segments_new(self->subtitle, &self->rules);
    if (!self->segments)
        return -ENOMEM;
    self->wanted = calloc(self->segments->count + 1, sizeof *self->wanted);
    if (!self->wanted)
        return -ENOMEM;
    for (size_t i = 0; i < self->segments->count; i++)
        if (self->segments->items[i].state == SEGMENT_WANTED)
            self->wanted[self->wanted_count++] = i;

    int r = make_folders(self);
    if (r != 0)
        return r;
    return strcmp(self->format, "wav") == 0 ? cut_by_copying(self) : cut_with_ffmpeg(self);
}

int ffmpeg_split_audio_segments(engine_t *engine)
{
    scoped_in(split) self = { .engine = engine, .began_ms = clock_ms() };
    int r = read_inputs(&self);
    r = r ? r : read_subtitle(&self);
    r = r ? r : decode(&self);
    r = r ? r : cut(&self);
    (void)unlink(SAMPLES);
    return r ? r : split_report(&self);
}
