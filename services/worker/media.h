#pragma once
/* ffmpeg and ffprobe as children: what a file holds, and ffmpeg's work with its progress. */
#include "services/worker/engine.h"

struct media_info {
    double duration_s; /* the file's; 0: unknown. So are those of the streams: */
    bool has_audio;
    double audio_duration_s;
    uint32_t audio_channels, audio_rate; /* of the first stream; 0: unknown */
    bool has_video;                      /* cover pictures do not count */
    double video_duration_s;
    uint32_t width, height; /* as shown: after rotation */
    double frame_rate;      /* average; 0: unknown */
    uint64_t frames;        /* as the file claims, else from duration and rate; 0: unknown */
    bool frames_claimed;    /* frames is the file's own claim */
    bool web_video;         /* H.264 as browsers play it; so is the sound: */
    bool web_audio;         /* AAC */
    bool seekable;          /* a container whose index leads exactly to a time */
};

/* Looks at a file. field is the input that named it. 0; NOT_FOUND, INVALID (empty), FAILED (no
 * media that ffprobe can read), all refused; or -errno. */
int media_probe(engine_t *engine, const char *field, const char *path, struct media_info *ret_info);
/* Pictures in the video, counted without decoding. Answers as above. */
int media_count_packets(engine_t *engine, const char *field, const char *path,
                        uint64_t *ret_packets);

/* A file's name without its folder and ending, at most so many bytes of it: what results are named
 * after. Borrowed. */
struct slice media_stem(const char *path, size_t size_max);

/* A command line that grows. */
struct media_args {
    char *items[80]; /* NULL ends */
    size_t count;
    bool broken; /* out of memory, or more than fit */
};
void media_args_clear(struct media_args *self);
void media_add(struct media_args *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "-i" and the file, so that neither its name nor its content makes ffmpeg read anything else. */
void media_add_input(struct media_args *self, const char *path);

/* A WAV file of pcm_s16le to be made, of the same bytes whenever it is made; and how long it is: 0
 * when it is not there or holds no sound. */
void media_add_wav(struct media_args *self, const char *path);
double media_wav_seconds(const char *path, uint32_t rate, uint32_t channels);

struct media_end {
    int code;         /* exit code, MEDIA_SIGNAL + signal, or -1: time was over (run or not) */
    uint64_t frames;  /* pictures written */
    double seconds;   /* of media written */
    bool complained;  /* something was said on stderr */
    bool full;        /* there was no room for what it wrote */
    const char *line; /* last line of stderr; "" */
};

/* Several calls of ffmpeg, some at once. */
struct media_work {
    size_t count;
    size_t parallel;  /* at most at once; 0 is 1 */
    int64_t limit_ms; /* for all together; 0: none */
    /* Adds the arguments of call index; the program's name and its common options stand already. */
    void (*command)(void *arg, size_t index, struct media_args *args);
    /* Call index has ended. Not 0: the others are stopped and the answer is passed on. */
    int (*ended)(void *arg, size_t index, const struct media_end *end);
    /* How far call index is; may be NULL. */
    void (*progress)(void *arg, size_t index, const struct media_end *so_far);
    void *arg;
};
int media_run(engine_t *engine, const struct media_work *work);

/* Ends a chain of filters before pictures become files: the encoder refuses two at the same tick of
 * the average rate, which videos of varying rate have. */
#define MEDIA_TICKS "setpts=N*1000/TB"

/* One call, with args added by the caller; progress from from to to of the engine's, by pictures
 * written, or by time written when pictures is 0 (both 0: none is told). Refuses with
 * ffmpeg's last line unless it exits 0: UNAVAILABLE for want of room or by a signal, else FAILED.
 */
struct media_call {
    const struct media_args *args;
    uint64_t pictures;
    double seconds;
    double from, to;
    struct media_end end; /* filled; line is "" */
};
int media_call(engine_t *engine, const char *field, struct media_call *call);

/* ffmpeg ends well although a file breaks off in the middle: then it complained, and much of what
 * the file claims is missing. 0, or FAILED, refused. */
int media_check_whole(engine_t *engine, const char *field, const struct media_info *info,
                      const struct media_end *end, uint64_t pictures);

/* The same of sound, in seconds; expected_s 0: unknown. */
int media_check_sound(engine_t *engine, const char *field, const struct media_end *end,
                      double got_s, double expected_s);

/* Processors that this process may use. */
size_t media_processors(void);
/* Files in a folder; 0 when it cannot be read. */
uint64_t media_files_count(const char *folder);
