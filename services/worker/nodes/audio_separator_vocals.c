/* audio_separator.separate_vocals by ffmpeg's filters, with no model.
 *
 * Of sound with two channels or more the voice is what both channels have in common: for each
 * frequency of each short window, as much of the mid as the channels agree. Of sound with one
 * channel it is the band that speech needs. The rest is the sound less the voice, to the sample. */
#include "services/worker/media.h"

#include "common/scoped.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FOLDER "audio_separated"
#define CONFIG "audio_separator_config"
#define MODEL CONFIG ".model_name"

enum { STEM_MAX = NAME_MAX - sizeof "_(Instrumental).wav", PASSES_MAX = 2 };

/* Windows in samples at 44.1 kHz, one for each pass; none: filters that need no spectrum of ours.
 * Long windows tell tones apart, short ones tell moments apart: two passes are averaged. */
static const struct quality {
    const char *name;
    uint32_t windows[PASSES_MAX];
    size_t passes;
} qualities[] = { { "default", { 4096 }, 1 },
                  { "high_quality", { 4096, 8192 }, 2 },
                  { "fast", { 0 }, 1 } };

/* What is left between the words is turned down. */
static const struct level {
    const char *name, *gate;
} levels[] = { { "light", "agate=threshold=0.01:range=0.5:ratio=4:attack=2:release=40," },
               { "medium", "agate=threshold=0.02:range=0.2:ratio=4:attack=2:release=40," },
               { "strong", "agate=threshold=0.04:range=0.05:ratio=4:attack=2:release=40," } };

enum { MODEL_CENTRE, MODEL_BAND, MODEL_BY_CHANNELS };
static const char *const models[] = { "ffmpeg-centre", "ffmpeg-speech-band" };

struct separation {
    engine_t *engine;
    const char *field, *path;
    size_t model;
    const struct quality *quality;
    const struct level *level; /* NULL: as it is */
    uint32_t rate, channels;   /* of the files made */
    double seconds, expected_s;
    char *vocals, *rest; /* relative */
};

static void separation_clear(struct separation *self)
{
    free(self->vocals);
    free(self->rest);
}

static int read_text(engine_t *engine, const char *key, const char **ret_text)
{
    return engine_given(engine, key) ? engine_text(engine, key, ret_text) : 0;
}

static int read_quality(struct separation *self)
{
    const char *key = CONFIG ".quality_mode", *name = self->quality->name;
    int r = read_text(self->engine, key, &name);
    if (r != 0)
        return r;
    for (size_t i = 0; i < sizeof qualities / sizeof qualities[0]; i++) {
        self->quality = &qualities[i];
        if (strcmp(qualities[i].name, name) == 0)
            return 0;
    }
    return engine_refuse(self->engine, STATUS_INVALID, key,
                         "quality_mode must be default, high_quality or fast");
}

static int read_level(struct separation *self)
{
    const char *key = CONFIG ".vocal_optimization_level", *name = "medium";
    const struct level *level = NULL;
    bool on = false;
    int r = engine_switch(self->engine, CONFIG ".use_vocal_optimization", &on);
    r = r ? r : read_text(self->engine, key, &name);
    for (size_t i = 0; r == 0 && i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(levels[i].name, name) == 0)
            level = &levels[i];
    if (r == 0 && !level)
        r = engine_refuse(self->engine, STATUS_INVALID, key,
                          "vocal_optimization_level must be light, medium or strong");
    self->level = on ? level : NULL;
    return r;
}

static int read_model(struct separation *self)
{
    const char *name = NULL, *type = "ffmpeg";
    int r = read_text(self->engine, CONFIG ".model_type", &type);
    if (r == 0 && strcmp(type, "ffmpeg") != 0)
        r = engine_refuse(self->engine, STATUS_UNSUPPORTED, CONFIG ".model_type",
                          "models of type %s do not run here; what runs: ffmpeg", type);
    r = r ? r : read_text(self->engine, MODEL, &name);
    if (r != 0)
        return r;
    self->model = 0;
    while (name && self->model < MODEL_BY_CHANNELS && strcmp(models[self->model], name) != 0)
        self->model++;
    if (name && self->model == MODEL_BY_CHANNELS)
        return engine_refuse(self->engine, STATUS_UNSUPPORTED, MODEL,
                             "the model %s does not run here; what runs: %s, %s", name,
                             models[MODEL_CENTRE], models[MODEL_BAND]);
    if (!name)
        self->model = MODEL_BY_CHANNELS;
    return 0;
}

/* A video is named by whom asked; sound may stand in from another stage, and has lost its second
 * channel there. */
static int read_inputs(struct separation *self)
{
    static const char *const members[] = { "model_name",
                                           "quality_mode",
                                           "use_vocal_optimization",
                                           "vocal_optimization_level",
                                           "model_type",
                                           NULL };
    int r = engine_members(self->engine, CONFIG, members);
    r = r ? r : read_model(self);
    r = r ? r : read_quality(self);
    r = r ? r : read_level(self);
    if (r != 0)
        return r;
    self->field = engine_given(self->engine, "video_path") ? "video_path" : "audio_path";
    if (!engine_given(self->engine, self->field))
        return engine_refuse(self->engine, STATUS_INVALID, "audio_path",
                             "neither audio_path nor video_path is given, and no stage of the task "
                             "has made an audio_path");
    return engine_text(self->engine, self->field, &self->path);
}

static int look(struct separation *self)
{
    struct media_info info;
    int r = media_probe(self->engine, self->field, self->path, &info);
    if (r != 0)
        return r;
    if (!info.has_audio)
        return engine_refuse(self->engine, STATUS_FAILED, self->field, "%s has no audio stream",
                             self->path);
    if (info.audio_channels == 1 && self->model == MODEL_CENTRE)
        return engine_refuse(self->engine, STATUS_UNSUPPORTED, MODEL,
                             "sound with one channel has no centre; what runs on it: %s",
                             models[MODEL_BAND]);
    if (self->model == MODEL_BY_CHANNELS)
        self->model = info.audio_channels == 1 ? MODEL_BAND : MODEL_CENTRE;
    self->channels = info.audio_channels == 1 ? 1 : 2;
    self->rate = info.audio_rate ? info.audio_rate : 44100;
    self->expected_s = info.audio_duration_s;
    self->seconds = info.audio_duration_s > 0 ? info.audio_duration_s : info.duration_s;
    return 0;
}

/* The same time at any rate; within what afftfilt takes. */
static uint32_t window_at(uint32_t window, uint32_t rate)
{
    for (uint32_t most = 50000; rate > most && window < 65536; most *= 2)
        window *= 2;
    for (uint32_t least = 24000; rate <= least && window > 256; least /= 2)
        window /= 2;
    return window;
}

#define VOICE_SHARE                                              \
    "max(0,1-((real(b,0)-real(b,1))^2+(imag(b,0)-imag(b,1))^2)/" \
    "((real(b,0)+real(b,1))^2+(imag(b,0)+imag(b,1))^2+1e-20))*between(b*sr/(2*nb),70,16000)*0.5"

static void masked_pass(FILE *text, const struct separation *self, uint32_t window)
{
    uint32_t late = window / 4 * 3; /* by so many samples it comes out: a window less one step */
    (void)fprintf(text, "apad=pad_len=%u,afftfilt=win_size=%u:overlap=0.75:win_func=hann:", late,
                  window);
    if (self->model == MODEL_CENTRE)
        (void)fputs("real='if(ch,0," VOICE_SHARE "*(real(b,0)+real(b,1)))':"
                    "imag='if(ch,0," VOICE_SHARE "*(imag(b,0)+imag(b,1)))'",
                    text);
    else
        (void)fputs("real='re*between(b*sr/(2*nb),150,6000)':"
                    "imag='im*between(b*sr/(2*nb),150,6000)'",
                    text);
    (void)fprintf(text, ",atrim=start_sample=%u,asetpts=N/SR/TB,pan=mono|c0=%g*c0", late,
                  1.0 / (double)self->quality->passes);
}

static void fast_pass(FILE *text, const struct separation *self)
{
    uint32_t late = self->rate > 100000 ? 6144 : self->rate > 50000 ? 3072 : 1536;
    if (self->model == MODEL_CENTRE) /* its centre is louder than the mid, by 4/3 */
        (void)fprintf(text,
                      "apad=pad_len=%u,dialoguenhance=original=1:enhance=0,"
                      "atrim=start_sample=%u,asetpts=N/SR/TB,pan=mono|c0=0.75*c2",
                      late, late);
    else
        (void)fputs("highpass=f=150,lowpass=f=6000", text);
}

/* [0:a:0] to [vocals] and [rest]. NULL when out of memory. */
static char *graph_of(const struct separation *self)
{
    char *graph = NULL;
    size_t size;
    FILE *text = open_memstream(&graph, &size);
    if (!text)
        return NULL;

    size_t passes = self->quality->passes;
    bool stereo = self->channels == 2;
    bool mid = stereo && self->model == MODEL_BAND;
    (void)fprintf(text,
                  "[0:a:0]aformat=sample_fmts=fltp:channel_layouts=%s,asplit[whole][in];"
                  "[in]%sasplit=%zu",
                  stereo ? "stereo" : "mono", mid ? "pan=mono|c0=0.5*c0+0.5*c1," : "", passes);
    for (size_t i = 0; i < passes; i++)
        (void)fprintf(text, "[in%zu]", i);
    for (size_t i = 0; i < passes; i++) {
        (void)fprintf(text, ";[in%zu]", i);
        if (self->quality->windows[i])
            masked_pass(text, self, window_at(self->quality->windows[i], self->rate));
        else
            fast_pass(text, self);
        (void)fprintf(text, "[out%zu]", i);
    }
    (void)fputc(';', text);
    for (size_t i = 0; i < passes; i++)
        (void)fprintf(text, "[out%zu]", i);
    (void)fprintf(text, "amerge=inputs=%zu,pan=mono|c0=c0%s,asplit[voice][less];", passes,
                  passes == 2 ? "+c1" : "");
    (void)fprintf(text, "[voice]%s%s[vocals]", self->level ? self->level->gate : "",
                  stereo ? "pan=stereo|c0=c0|c1=c0" : "anull");
    (void)fprintf(text, ";[whole][less]amerge=inputs=2,%s[rest]",
                  stereo ? "pan=stereo|c0=c0-c2|c1=c1-c2" : "pan=mono|c0=c0-c1");
    if (fclose(text) == 0)
        return graph;
    free(graph);
    return NULL;
}

static int separate(const struct separation *self)
{
    scoped_text char *graph = graph_of(self);
    if (!graph)
        return -ENOMEM;
    if (mkdir(FOLDER, 0777) != 0)
        return -errno;

    scoped_in(media_args) args = { 0 };
    media_add_input(&args, self->path);
    /* afftfilt transforms each channel back in its own place as soon as it is done: only the first
     * channel may look at another one, and only when they take turns. */
    media_add(&args, "-filter_complex_threads");
    media_add(&args, "1");
    media_add(&args, "-filter_complex");
    media_add(&args, "%s", graph);
    media_add(&args, "-map");
    media_add(&args, "[vocals]");
    media_add_wav(&args, self->vocals);
    media_add(&args, "-map");
    media_add(&args, "[rest]");
    media_add_wav(&args, self->rest);
    struct media_call call = { .args = &args, .seconds = self->seconds, .from = 0, .to = 1 };
    int r = media_call(self->engine, self->field, &call);
    if (r != 0)
        return r;
    double got_s = media_wav_seconds(self->vocals, self->rate, self->channels);
    return media_check_sound(self->engine, self->field, &call.end, got_s, self->expected_s);
}

/* What ran, exactly: the names of ffmpeg's filters, and windows in samples. */
static char *model_used(const struct separation *self)
{
    char *name = NULL;
    size_t size;
    FILE *text = open_memstream(&name, &size);
    if (!text)
        return NULL;
    const uint32_t *windows = self->quality->windows;
    bool centre = self->model == MODEL_CENTRE;
    const char *filter = windows[0] ? "afftfilt" : centre ? "dialoguenhance" : "highpass-lowpass";
    (void)fprintf(text, "ffmpeg-%s-%s", filter, centre ? "centre" : "speech-band");
    for (size_t i = 0; windows[0] && i < self->quality->passes; i++)
        (void)fprintf(text, "%c%u", i ? '+' : '-', window_at(windows[i], self->rate));
    if (self->level)
        (void)fprintf(text, "-agate-%s", self->level->name);
    if (fclose(text) == 0)
        return name;
    free(name);
    return NULL;
}

static int put_output(const struct separation *self)
{
    engine_t *engine = self->engine;
    const char *vocals = engine_final_path(engine, self->vocals);
    const char *rest = engine_final_path(engine, self->rest);
    scoped_text char *model = model_used(self);
    if (!vocals || !rest || !model)
        return -ENOMEM;

    engine_put_texts(engine, "all_audio_files", (const char *const[]){ vocals, rest }, 2);
    engine_put_path(engine, "vocal_audio", self->vocals);
    engine_put_text(engine, "model_used", model);
    engine_put_text(engine, "quality_mode", self->quality->name);
    engine_hand_over(engine, self->vocals);
    engine_hand_over(engine, self->rest);
    return 0;
}

static char *file_named(const char *path, const char *what)
{
    struct slice stem = media_stem(path, STEM_MAX);
    char *text = NULL;
    return asprintf(&text, FOLDER "/%.*s_(%s).wav", SLICE_ARG(stem), what) < 0 ? NULL : text;
}

int audio_separator_vocals(engine_t *engine)
{
    scoped_in(separation) self = { .engine = engine, .quality = &qualities[0] };
    int r = read_inputs(&self);
    r = r ? r : look(&self);
    if (r != 0)
        return r;
    self.vocals = file_named(self.path, "Vocals");
    self.rest = file_named(self.path, "Instrumental");
    if (!self.vocals || !self.rest)
        return -ENOMEM;
    r = separate(&self);
    return r ? r : put_output(&self);
}
