/* ffmpeg.extract_audio: the sound of a video as speech engines want it, 16 kHz mono. */
#include "services/worker/media.h"

#include "common/scoped.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { STEM_MAX = NAME_MAX - 4 };

/* "audio/{name}.wav" of "/x/name.mp4". NULL when out of memory. */
static char *output_name(const char *video_path)
{
    struct slice stem = media_stem(video_path, STEM_MAX);
    char *text = NULL;
    return asprintf(&text, "audio/%.*s.wav", SLICE_ARG(stem)) < 0 ? NULL : text;
}

static void extract_args(struct media_args *args, const char *video_path, const char *output)
{
    media_add_input(args, video_path);
    const char *options[] = { "-vn", "-sn", "-dn", "-ar", "16000", "-ac", "1" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        media_add(args, "%s", options[i]);
    media_add_wav(args, output);
}

int ffmpeg_extract_audio(engine_t *engine)
{
    const char *video_path;
    struct media_info info;
    int r = engine_text(engine, "video_path", &video_path);
    if (r == 0)
        r = media_probe(engine, "video_path", video_path, &info);
    if (r != 0)
        return r;
    if (!info.has_audio)
        return engine_refuse(engine, STATUS_FAILED, "video_path", "%s has no audio stream",
                             video_path);

    scoped_text char *output = output_name(video_path);
    if (!output)
        return -ENOMEM;
    if (mkdir("audio", 0777) != 0)
        return -errno;
    double seconds = info.audio_duration_s > 0 ? info.audio_duration_s : info.duration_s;
    scoped_in(media_args) args = { 0 };
    extract_args(&args, video_path, output);
    struct media_call call = { .args = &args, .seconds = seconds, .from = 0, .to = 1 };
    r = media_call(engine, "video_path", &call);
    if (r == 0)
        r = media_check_sound(engine, "video_path", &call.end, media_wav_seconds(output, 16000, 1),
                              info.audio_duration_s);
    if (r != 0)
        return r;

    engine_put_path(engine, "audio_path", output);
    engine_hand_over(engine, output);
    return 0;
}
