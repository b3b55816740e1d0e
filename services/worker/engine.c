#include "services/worker/engine_self.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "common/utf8.h"
#include "proto/codec.h"
#include "proto/schema.h"
#include "services/worker/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPORT_FD = 3, PROGRESS_GAP_MS = 200 };

/* Where storage.auto_upload begins, of the whole. */
#define UPLOAD_FROM 0.8

static const struct engine_row rows[] = {
    { "audio_separator.separate_vocals", audio_separator_vocals },
    { "ffmpeg.extract_audio", ffmpeg_extract_audio },
    { "ffmpeg.extract_keyframes", ffmpeg_extract_keyframes },
    { "ffmpeg.crop_subtitle_images", ffmpeg_crop_subtitle_images },
    { "ffmpeg.split_audio_segments", ffmpeg_split_audio_segments },
    { "storage.download", storage_download },
    { "storage.upload_directory", storage_upload_directory },
    { "storage.upload_file", storage_upload_file },
    { "system.cleanup", system_cleanup },
    { "system.fail", system_fail },
    { "system.sleep", system_sleep },
    { "video.process", video_process },
};

const struct engine_row *engine_find(const char *node)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].node, node) == 0)
            return &rows[i];
    return NULL;
}

static void say_why(engine_t *self, const char *message, va_list args)
    __attribute__((format(printf, 2, 0)));

static void say_why(engine_t *self, const char *message, va_list args)
{
    (void)vsnprintf(self->message, sizeof self->message, message, args);
    utf8_clean(self->message); /* an engine's words, cut anywhere */
}

int engine_refuse(engine_t *self, enum status status, const char *field, const char *message, ...)
{
    if (self->refused)
        return (int)status;

    self->refused = status;
    (void)snprintf(self->field, sizeof self->field, "%s", field ? field : "");
    utf8_clean(self->field); /* a member's name, cut anywhere */
    va_list args;
    va_start(args, message);
    say_why(self, message, args);
    va_end(args);
    return (int)status;
}

int engine_retry(engine_t *self, int64_t after_ms, const char *message, ...)
{
    if (self->refused)
        return (int)self->refused;
    self->refused = STATUS_FAILED;
    self->again = true;
    self->after_ms = after_ms;
    va_list args;
    va_start(args, message);
    say_why(self, message, args);
    va_end(args);
    return STATUS_FAILED;
}

int engine_snooze(engine_t *self, int64_t after_ms)
{
    if (self->refused)
        return (int)self->refused;
    self->refused = STATUS_EMPTY;
    self->snoozed = true;
    self->after_ms = after_ms;
    return STATUS_EMPTY;
}

bool engine_checkpoint(const engine_t *self, struct slice *ret_value)
{
    return codec_find(self->before, "checkpoint", ret_value) && !codec_is_nil(*ret_value);
}

uint64_t engine_count(const engine_t *self, const char *what)
{
    struct slice value;
    uint64_t count = 0;
    if (codec_find(self->before, what, &value))
        (void)codec_whole(value, &count);
    return count;
}

void engine_keep(engine_t *self, struct slice value)
{
    (void)self;
    (void)report_checkpoint(REPORT_FD, value);
}

const char *engine_task(const engine_t *self)
{
    return self->id;
}

bool engine_owned(const engine_t *self)
{
    struct slice value;
    bool owned = false;
    return codec_find(self->before, "owned", &value) && codec_bool(value, &owned) && owned;
}

const char *engine_folder(const engine_t *self)
{
    return self->folder;
}

const char *engine_ffmpeg(const engine_t *self)
{
    return self->ffmpeg;
}

const char *engine_ffprobe(const engine_t *self)
{
    return self->ffprobe;
}

static double between(double from, double to, double share)
{
    return from + (share < 1 ? share : 1) * (to - from);
}

void engine_share(engine_t *self, double from, double to)
{
    self->part_from = from;
    self->part_to = to;
}

void engine_progress(engine_t *self, double progress)
{
    int64_t now_ms = clock_ms();
    progress = between(self->part_from, self->part_to, progress);
    progress = between(self->run_from, self->run_to, progress);
    if (!(progress > self->progress) || now_ms - self->progress_ms < PROGRESS_GAP_MS)
        return;

    self->progress = progress;
    self->progress_ms = now_ms;
    (void)report_progress(REPORT_FD, self->progress);
}

static msgpack_packer *put(engine_t *self, const char *key)
{
    self->output_count++;
    pack_text(&self->output.packer, key);
    return &self->output.packer;
}

void engine_put_text(engine_t *self, const char *key, const char *text)
{
    pack_text(put(self, key), text);
}

void engine_put_texts(engine_t *self, const char *key, const char *const *texts, size_t count)
{
    msgpack_packer *packer = put(self, key);
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_text(packer, texts[i]);
}

const char *engine_final_path(engine_t *self, const char *relative)
{
    size_t size = strlen(self->folder) + 1 + strlen(relative) + 1;
    char *path = engine_text_new(self, size);
    if (path)
        (void)snprintf(path, size, "%s/%s", self->folder, relative);
    return path;
}

/* Or a new one, at the end. NULL when out of memory. */
static struct put_path *find_path(engine_t *self, const char *key)
{
    struct put_path **at = &self->paths;
    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->key, key) == 0)
            return *at;
    struct put_path *made = calloc(1, sizeof *made + strlen(key) + 1);
    if (made)
        memcpy(made->key, key, strlen(key) + 1);
    *at = made;
    return made;
}

void engine_put_path(engine_t *self, const char *key, const char *relative)
{
    const char *path = engine_final_path(self, relative);
    struct put_path *known = find_path(self, key);
    if (path && known) {
        engine_put_text(self, key, path);
        known->relative = path + strlen(self->folder) + 1;
    } else {
        self->output.broken = true;
    }
}

void engine_stays(engine_t *self, const char *key)
{
    struct put_path *known = find_path(self, key);
    if (known)
        known->stays = true;
    else
        self->output.broken = true;
}

void engine_put_switch(engine_t *self, const char *key, bool on)
{
    msgpack_packer *packer = put(self, key);
    if (on)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

void engine_put_whole(engine_t *self, const char *key, uint64_t whole)
{
    msgpack_pack_uint64(put(self, key), whole);
}

void engine_put_number(engine_t *self, const char *key, double number)
{
    msgpack_pack_double(put(self, key), number);
}

void engine_put_packed(engine_t *self, const char *key, struct slice value)
{
    pack_raw(put(self, key), value);
}

void engine_hand_over_as(engine_t *self, const char *from, const char *to)
{
    self->files_count++;
    msgpack_pack_array(&self->files.packer, 2);
    pack_text(&self->files.packer, from);
    pack_text(&self->files.packer, to);
}

void engine_hand_over(engine_t *self, const char *relative)
{
    engine_hand_over_as(self, relative, relative);
}

void engine_skip(engine_t *self)
{
    self->skipped = true;
}

static bool read_map(struct reader *reader, struct slice *ret_map)
{
    return reader_value(reader, ret_map) && codec_check(*ret_map) == 0 &&
           codec_is(*ret_map, KIND_MAP);
}

static int setup(engine_t *self)
{
    self->folder = getenv("GANTRY_FOLDER");
    self->ffmpeg = getenv("GANTRY_FFMPEG");
    self->ffprobe = getenv("GANTRY_FFPROBE");
    self->id = getenv("GANTRY_TASK_ID");
    if (!self->id)
        self->id = "";
    if (!self->folder || self->folder[0] != '/')
        return engine_refuse(self, STATUS_INTERNAL, NULL, "GANTRY_FOLDER is no absolute path");
    if (!self->ffmpeg)
        self->ffmpeg = "ffmpeg";
    if (!self->ffprobe)
        self->ffprobe = "ffprobe";

    struct slice all = { 0 };
    int r = report_read_all(STDIN_FILENO, WIRE_FRAME_HARD_MAX, &self->input_bytes, &all);
    struct reader reader = reader_of(all);
    bool good = r || read_map(&reader, &self->input);
    if (r == 0 && good && reader.at != reader.end)
        good = read_map(&reader, &self->before) && reader.at == reader.end;
    if (!good)
        r = engine_refuse(self, STATUS_MALFORMED, NULL, "the inputs are no msgpack map");
    if (r == 0)
        r = engine_take_settings(self);
    if (self->settings.storage_auto_upload)
        self->run_to = UPLOAD_FROM;
    return r;
}

/* The last word on descriptor 3. What failed without a reason of its own gets one here. */
static int conclude(engine_t *self, int result)
{
    if (result == 0 && (self->output.broken || self->files.broken))
        result = -ENOMEM;
    if (result < 0)
        (void)engine_refuse(self, is_trouble(result) ? STATUS_UNAVAILABLE : STATUS_INTERNAL, NULL,
                            "%s", strerror(-result));
    if (result > 0 && !self->refused)
        (void)engine_refuse(self, STATUS_INTERNAL, NULL, "%s", status_text(result));
    if (self->snoozed)
        return report_snooze(REPORT_FD, self->after_ms);
    if (self->again)
        return report_retry(REPORT_FD, self->message, self->after_ms);
    if (result != 0)
        return report_error(REPORT_FD, status_name((int)self->refused), self->message, self->field);

    struct report_part output = { self->output_count, &self->output };
    struct report_part files = { self->files_count, &self->files };
    return report_output(REPORT_FD, self->skipped, &output, &files);
}

static void clear(engine_t *self)
{
    while (self->texts) {
        struct text *text = self->texts;
        self->texts = text->next;
        free(text);
    }
    objects_destroy(&self->objects);
    packed_clear(&self->replaced);
    while (self->paths) {
        struct put_path *path = self->paths;
        self->paths = path->next;
        free(path);
    }
    free(self->input_bytes);
    report_buffer_clear(&self->output);
    report_buffer_clear(&self->files);
}

int engine_main(int argc, char **argv)
{
    const struct engine_row *row = argc == 2 ? engine_find(argv[1]) : NULL;
    if (!row || fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) != 0) {
        (void)fprintf(stderr, "usage: gantry-engine NODE  <inputs (msgpack)  3>report (msgpack)\n"
                              "Runs one node; gantry-worker starts it. Nodes:\n");
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            (void)fprintf(stderr, "  %s\n", rows[i].node);
        return 2;
    }

    (void)signal(SIGPIPE, SIG_IGN);
    engine_t self = { .run_to = 1, .part_to = 1 };
    report_buffer_init(&self.output);
    report_buffer_init(&self.files);
    int r = setup(&self);
    if (r == 0)
        r = engine_fetch_inputs(&self);
    if (r == 0)
        r = row->run(&self);
    if (r == 0)
        r = engine_upload_paths(&self);
    if (r != 0 && self.message[0])
        (void)fprintf(stderr, "%s: %s\n", row->node, self.message);
    int told = conclude(&self, r);
    clear(&self);
    return r == 0 && told == 0 ? 0 : 1;
}
