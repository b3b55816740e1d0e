#include "services/worker/engine.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "proto/codec.h"
#include "proto/schema.h"
#include "services/worker/engine_report.h"
#include "services/worker/trouble.h"
#include "services/worker/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPORT_FD = 3, FIELD_MAX = 64, MESSAGE_MAX = 1024, PROGRESS_GAP_MS = 200 };

/* A text that an input or a path became: kept until the engine ends. */
struct text {
    struct text *next;
    char bytes[];
};

struct engine {
    void *input_bytes;
    struct slice input;  /* checked */
    struct slice before; /* the second value, checked, or empty */
    struct text *texts;
    const char *folder, *ffmpeg, *ffprobe;
    struct report_buffer output, files;
    uint32_t output_count, files_count;
    bool skipped;
    double progress;
    int64_t progress_ms;
    enum status refused;
    bool again, snoozed; /* what refused is: another attempt is wanted */
    int64_t after_ms;
    char field[FIELD_MAX], message[MESSAGE_MAX];
};

static const struct engine_row rows[] = {
    { "ffmpeg.extract_audio", ffmpeg_extract_audio },
    { "ffmpeg.extract_keyframes", ffmpeg_extract_keyframes },
    { "ffmpeg.crop_subtitle_images", ffmpeg_crop_subtitle_images },
    { "ffmpeg.split_audio_segments", ffmpeg_split_audio_segments },
    { "system.fail", system_fail },
    { "system.sleep", system_sleep },
};

const struct engine_row *engine_find(const char *node)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].node, node) == 0)
            return &rows[i];
    return NULL;
}

static char *text_new(engine_t *self, size_t size)
{
    struct text *text = malloc(sizeof *text + size);
    if (!text)
        return NULL;
    text->next = self->texts;
    self->texts = text;
    return text->bytes;
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

static bool find(const engine_t *self, const char *key, struct slice *ret_value)
{
    return codec_find(self->input, key, ret_value) && !codec_is_nil(*ret_value);
}

bool engine_given(const engine_t *self, const char *key)
{
    struct slice value;
    return find(self, key, &value);
}

static int missing(engine_t *self, const char *key)
{
    return engine_refuse(self, STATUS_INVALID, key, "%s is missing", key);
}

int engine_text(engine_t *self, const char *key, const char **ret_text)
{
    struct slice value, text;
    if (!find(self, key, &value))
        return missing(self, key);
    if (!codec_str(value, &text) || text.size == 0)
        return engine_refuse(self, STATUS_INVALID, key, "%s must be a text that is not empty", key);

    char *bytes = text_new(self, text.size + 1);
    if (!bytes)
        return -ENOMEM;
    if (!slice_copy(text, bytes, text.size + 1))
        return engine_refuse(self, STATUS_INVALID, key, "%s must not hold a NUL", key);
    *ret_text = bytes;
    return 0;
}

int engine_whole(engine_t *self, const char *key, uint64_t least, uint64_t most,
                 uint64_t *ret_whole)
{
    struct slice value;
    uint64_t whole = 0;
    if (!find(self, key, &value))
        return missing(self, key);
    if (!codec_whole(value, &whole) || whole < least || whole > most)
        return engine_refuse(self, STATUS_INVALID, key,
                             "%s must be a whole number from %llu to %llu", key,
                             (unsigned long long)least, (unsigned long long)most);
    *ret_whole = whole;
    return 0;
}

int engine_number(engine_t *self, const char *key, double least, double most, double *ret_number)
{
    struct slice value;
    double number = 0;
    if (!find(self, key, &value))
        return missing(self, key);
    if (!codec_number(value, &number) || !(number >= least && number <= most))
        return engine_refuse(self, STATUS_INVALID, key, "%s must be a number from %g to %g", key,
                             least, most);
    *ret_number = number;
    return 0;
}

int engine_switch(engine_t *self, const char *key, bool *ret_on)
{
    struct slice value;
    bool on = false;
    if (find(self, key, &value) && !codec_bool(value, &on))
        return engine_refuse(self, STATUS_INVALID, key, "%s must be true or false", key);
    *ret_on = on;
    return 0;
}

int engine_numbers(engine_t *self, const char *key, size_t count, double *ret_numbers)
{
    struct slice value, item;
    struct reader reader;
    uint32_t items = 0;
    if (!find(self, key, &value))
        return missing(self, key);
    bool good = codec_array(value, &reader, &items) && items == count;
    for (size_t i = 0; good && i < count; i++)
        good = reader_value(&reader, &item) && codec_number(item, &ret_numbers[i]) &&
               isfinite(ret_numbers[i]);
    return good ? 0
                : engine_refuse(self, STATUS_INVALID, key, "%s must be a list of %zu numbers", key,
                                count);
}

int engine_switch_unsupported(engine_t *self, const char *key)
{
    bool on = false;
    int r = engine_switch(self, key, &on);
    if (r == 0 && on)
        r = engine_refuse(self, STATUS_UNSUPPORTED, key,
                          "%s is not offered yet: results stay in the task's folder", key);
    return r;
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

const char *engine_ffmpeg(const engine_t *self)
{
    return self->ffmpeg;
}

const char *engine_ffprobe(const engine_t *self)
{
    return self->ffprobe;
}

void engine_progress(engine_t *self, double progress)
{
    int64_t now_ms = clock_ms();
    if (!(progress > self->progress) || now_ms - self->progress_ms < PROGRESS_GAP_MS)
        return;

    self->progress = progress < 1 ? progress : 1;
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

const char *engine_final_path(engine_t *self, const char *relative)
{
    size_t size = strlen(self->folder) + 1 + strlen(relative) + 1;
    char *path = text_new(self, size);
    if (path)
        (void)snprintf(path, size, "%s/%s", self->folder, relative);
    return path;
}

void engine_put_path(engine_t *self, const char *key, const char *relative)
{
    const char *path = engine_final_path(self, relative);
    if (path)
        engine_put_text(self, key, path);
    else
        self->output.broken = true;
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

void engine_hand_over(engine_t *self, const char *relative)
{
    self->files_count++;
    msgpack_pack_array(&self->files.packer, 2);
    pack_text(&self->files.packer, relative);
    pack_text(&self->files.packer, relative);
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
    engine_t self = { 0 };
    report_buffer_init(&self.output);
    report_buffer_init(&self.files);
    int r = setup(&self);
    if (r == 0)
        r = row->run(&self);
    if (r != 0 && self.message[0])
        (void)fprintf(stderr, "%s: %s\n", row->node, self.message);
    int told = conclude(&self, r);
    clear(&self);
    return r == 0 && told == 0 ? 0 : 1;
}
