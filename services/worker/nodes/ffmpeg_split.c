#include "services/worker/nodes/ffmpeg_split.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "proto/codec.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define INFO_FILE SPLIT_FOLDER "/split_info.json"

typedef json_t json_value_t;

static void json_value_destroy(json_value_t **value_p)
{
    json_decref(*value_p);
}

void split_clear(struct split *self)
{
    segments_destroy(&self->segments);
    subtitle_destroy(&self->subtitle);
    free(self->wanted);
}

void split_file(const struct split *self, size_t index, char *file, size_t size)
{
    char folder[SEGMENT_FILE_MAX] = "";
    if (self->grouped)
        segment_folder(&self->segments->items[index], folder);
    (void)snprintf(file, size, SPLIT_FOLDER "/%s%ssegment_%04zu.%s", folder, folder[0] ? "/" : "",
                   index + 1, self->format);
}

static void put16(unsigned char *at, uint64_t value)
{
    uint16_t little = htole16((uint16_t)value);
    memcpy(at, &little, sizeof little);
}

static void put32(unsigned char *at, uint64_t value)
{
    uint32_t little = htole32((uint32_t)value);
    memcpy(at, &little, sizeof little);
}

int split_write_wav(const struct split *self, int samples, const struct segment *segment,
                    const char *file)
{
    uint64_t frame = 2 * self->channels;
    double rate = (double)self->sample_rate;
    off_t from = (off_t)((uint64_t)llround(segment->start_s * rate) * frame);
    off_t end = (off_t)((uint64_t)llround(segment->end_s * rate) * frame);
    uint64_t size = (uint64_t)(end - from);
    if (size > UINT32_MAX - 36)
        return -EFBIG;

    unsigned char header[44] = "RIFF....WAVEfmt ";
    put32(header + 4, 36 + size);
    put32(header + 16, 16);
    put16(header + 20, 1); /* PCM */
    put16(header + 22, self->channels);
    put32(header + 24, self->sample_rate);
    put32(header + 28, self->sample_rate * frame);
    put16(header + 32, frame);
    put16(header + 34, 16);
    memcpy(header + 36, (const unsigned char[]){ 'd', 'a', 't', 'a' }, 4);
    put32(header + 40, size);

    scoped_fd int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, header, sizeof header) != (ssize_t)sizeof header)
        return errno ? -errno : -EIO;
    while (from < end) {
        ssize_t n = sendfile(fd, samples, &from, (size_t)(end - from));
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
    }
    return 0;
}

static json_t *rounded(double seconds)
{
    return json_real(round(seconds * 1000) / 1000);
}

static const char *state_text(enum segment_state state)
{
    switch (state) {
    case SEGMENT_DONE:
        return "ok";
    case SEGMENT_SKIPPED:
        return "skipped";
    case SEGMENT_WANTED:
    case SEGMENT_FAILED:
        break;
    }
    return "failed";
}

static json_t *describe(const struct split *self, size_t index)
{
    const struct segment *segment = &self->segments->items[index];
    json_t *item = json_object();
    (void)json_object_set_new(item, "index", json_integer((json_int_t)index + 1));
    (void)json_object_set_new(item, "status", json_string(state_text(segment->state)));
    if (segment->state == SEGMENT_DONE) {
        char file[SEGMENT_FILE_MAX + 64];
        split_file(self, index, file, sizeof file);
        (void)json_object_set_new(item, "file", json_string(file + sizeof SPLIT_FOLDER));
    } else {
        (void)json_object_set_new(item, "error", json_string(segment->error ? segment->error : ""));
    }
    (void)json_object_set_new(item, "start", rounded(segment->start_s));
    (void)json_object_set_new(item, "end", rounded(segment->end_s));
    (void)json_object_set_new(item, "duration", rounded(segment->end_s - segment->start_s));
    (void)json_object_set_new(item, "silence", json_boolean(!segment->entry));
    if (segment->entry) {
        size_t subtitle = (size_t)(segment->entry - self->subtitle->entries) + 1;
        (void)json_object_set_new(item, "subtitle", json_integer((json_int_t)subtitle));
        (void)json_object_set_new(item, "speaker", json_string(segment->entry->speaker));
        (void)json_object_set_new(item, "text", json_string(segment->entry->text));
    }
    (void)json_object_set_new(item, "part", json_integer(segment->part));
    (void)json_object_set_new(item, "parts", json_integer(segment->parts));
    return item;
}

/* {speaker: {count, duration}} of what was cut. */
static json_t *sum_up(const segments_t *segments)
{
    json_t *speakers = json_object();
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = &segments->items[i];
        if (segment->state != SEGMENT_DONE || !segment->entry || !segment->entry->speaker[0])
            continue;
        json_t *speaker = json_object_get(speakers, segment->entry->speaker);
        if (!speaker) {
            speaker = json_pack("{s:i,s:f}", "count", 0, "duration", 0.0);
            (void)json_object_set_new(speakers, segment->entry->speaker, speaker);
        }
        json_t *count = json_object_get(speaker, "count");
        json_t *duration = json_object_get(speaker, "duration");
        (void)json_integer_set(count, json_integer_value(count) + 1);
        (void)json_real_set(duration,
                            json_real_value(duration) + segment->end_s - segment->start_s);
    }
    return speakers;
}

static double total_seconds(const segments_t *segments)
{
    double total_s = 0;
    for (size_t i = 0; i < segments->count; i++)
        if (segments->items[i].state == SEGMENT_DONE)
            total_s += segments->items[i].end_s - segments->items[i].start_s;
    return total_s;
}

static int write_info(const struct split *self, const json_t *speakers, size_t done, size_t failed)
{
    const segments_t *segments = self->segments;
    size_t total = done + failed;
    json_t *list = json_array();
    for (size_t i = 0; i < segments->count; i++)
        (void)json_array_append_new(list, describe(self, i));
    scoped(json_value) info =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f,s:I,s:I,s:I,s:I,s:O,s:o}", "audio_source",
                  self->audio_path, "subtitle_source", self->subtitle_path, "audio_format",
                  self->format, "sample_rate", (json_int_t)self->sample_rate, "channels",
                  (json_int_t)self->channels, "audio_duration", self->rules.audio_s,
                  "total_duration", total_seconds(segments), "total_segments", (json_int_t)total,
                  "successful_segments", (json_int_t)done, "failed_segments", (json_int_t)failed,
                  "skipped_segments", (json_int_t)segments_count(segments, SEGMENT_SKIPPED),
                  "speaker_summary", speakers, "segments", list);
    if (!info)
        return -ENOMEM;
    return json_dump_file(info, INFO_FILE, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) == 0 ? 0
                                                                                          : -EIO;
}

static void put_speakers(engine_t *engine, json_t *speakers)
{
    msgpack_sbuffer bytes;
    msgpack_packer packer;
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, json_object_size(speakers));
    const char *name;
    json_t *speaker;
    json_object_foreach (speakers, name, speaker) {
        pack_text(&packer, name);
        msgpack_pack_map(&packer, 2);
        pack_text(&packer, "count");
        msgpack_pack_int64(&packer, json_integer_value(json_object_get(speaker, "count")));
        pack_text(&packer, "duration");
        msgpack_pack_double(&packer, json_real_value(json_object_get(speaker, "duration")));
    }
    engine_put_packed(engine, "speaker_summary", slice_make(bytes.data, bytes.size));
    msgpack_sbuffer_destroy(&bytes);
}

static void put_output(const struct split *self, json_t *speakers, size_t done, size_t failed)
{
    engine_t *engine = self->engine;
    engine_put_path(engine, "audio_segments_dir", SPLIT_FOLDER);
    engine_put_text(engine, "audio_source", self->audio_path);
    engine_put_text(engine, "subtitle_source", self->subtitle_path);
    engine_put_whole(engine, "total_segments", done + failed);
    engine_put_whole(engine, "successful_segments", done);
    engine_put_whole(engine, "failed_segments", failed);
    engine_put_number(engine, "total_duration", total_seconds(self->segments));
    engine_put_number(engine, "processing_time", (double)(clock_ms() - self->began_ms) / 1000);
    engine_put_text(engine, "audio_format", self->format);
    engine_put_whole(engine, "sample_rate", self->sample_rate);
    engine_put_whole(engine, "channels", self->channels);
    engine_put_path(engine, "split_info_file", INFO_FILE);
    engine_put_whole(engine, "segments_count", done);
    put_speakers(engine, speakers);
    engine_hand_over(engine, SPLIT_FOLDER);
}

static const char *first_error(const segments_t *segments)
{
    for (size_t i = 0; i < segments->count; i++)
        if (segments->items[i].state == SEGMENT_FAILED)
            return segments->items[i].error;
    return "";
}

static void put_nothing(const struct split *self)
{
    engine_put_text(self->engine, "reason",
                    self->subtitle->count == 0
                        ? "the subtitles hold no entry"
                        : "every subtitle is shorter than min_segment_duration");
    engine_put_whole(self->engine, "total_segments", 0);
    engine_put_whole(self->engine, "skipped_segments", self->segments->count);
    engine_skip(self->engine);
}

int split_report(struct split *self)
{
    size_t done = segments_count(self->segments, SEGMENT_DONE);
    size_t failed = segments_count(self->segments, SEGMENT_FAILED);
    if (done == 0 && failed == 0) {
        put_nothing(self);
        return 0;
    }
    if (done == 0)
        return engine_refuse(self->engine, STATUS_FAILED, NULL,
                             "all %zu segments failed, such as: %s", failed,
                             first_error(self->segments));

    scoped(json_value) speakers = sum_up(self->segments);
    if (!speakers)
        return -ENOMEM;
    int r = write_info(self, speakers, done, failed);
    if (r == 0)
        put_output(self, speakers, done, failed);
    return r;
}
