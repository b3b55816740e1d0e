/* video.process: a video as browsers play it. Streams that fit already are copied, which takes
 * seconds where encoding takes hours. */
#include "services/worker/media.h"

#include "common/scoped.h"

#define RESULT "result.mp4"

static void add_all(struct media_args *args, const char *const *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        media_add(args, "%s", options[i]);
}

#define ADD(args, ...)                                                \
    do {                                                              \
        const char *const options[] = { __VA_ARGS__ };                \
        add_all((args), options, sizeof options / sizeof options[0]); \
    } while (0)

/* Of other containers the times of a copy are not to be relied on. */
static void process_args(struct media_args *args, const char *video_path,
                         const struct media_info *info)
{
    media_add_input(args, video_path);
    ADD(args, "-map", "0:V:0", "-map", "0:a:0?", "-sn", "-dn");
    if (info->seekable && info->web_video)
        ADD(args, "-c:v", "copy");
    else /* both sides even: yuv420p has a colour for two pixels each way */
        ADD(args, "-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-pix_fmt", "yuv420p",
            "-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2");
    if (info->seekable && info->web_audio)
        ADD(args, "-c:a", "copy");
    else
        ADD(args, "-c:a", "aac", "-b:a", "160k");
    ADD(args, "-movflags", "+faststart", "-f", "mp4", RESULT);
}

int video_process(engine_t *engine)
{
    const char *video_path;
    struct media_info info;
    int r = engine_text(engine, "video_path", &video_path);
    if (r == 0)
        r = media_probe(engine, "video_path", video_path, &info);
    if (r != 0)
        return r;
    if (!info.has_video)
        return engine_refuse(engine, STATUS_FAILED, "video_path", "%s has no video stream",
                             video_path);

    scoped_in(media_args) args = { 0 };
    process_args(&args, video_path, &info);
    struct media_call call = { .args = &args, .seconds = info.duration_s, .from = 0, .to = 1 };
    r = media_call(engine, "video_path", &call);
    if (r == 0)
        r = media_check_whole(engine, "video_path", &info, &call.end, call.end.frames);
    if (r != 0)
        return r;

    engine_put_path(engine, "result_file_path", RESULT);
    engine_hand_over(engine, RESULT);
    return 0;
}
