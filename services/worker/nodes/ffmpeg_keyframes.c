/* ffmpeg.extract_keyframes: pictures spread evenly over a video, for looking at all of it at a
 * glance.
 *
 * Of F pictures N are taken, each from the middle of its N-th part: keyframes/frame_000000.jpg and
 * on. Two ways there: decode everything once and keep those; or, when much lies between two of
 * them, jump to each. */
#include "services/worker/media.h"

#include "common/scoped.h"
#include "services/worker/nodes/upload.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    COUNT_MAX = 10000,
    JUMP_WORTH = 125 /* half the usual distance between two intra pictures */
};

/* The share of the work after which the pictures are uploaded. */
#define MADE_AT 0.6

struct sampling {
    engine_t *engine;
    const char *video_path;
    uint64_t wanted;
    double seconds; /* of the video stream */
    struct media_info info;
    uint64_t pictures;     /* that there are to choose from, as far as is known */
    uint64_t ended, found; /* jumps */
};

static void add_picture_options(struct media_args *args)
{
    const char *options[] = { "-an", "-sn", "-dn", "-q:v", "2", "-f", "image2" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        media_add(args, "%s", options[i]);
}

static void name_picture(char *name, size_t size, size_t index)
{
    (void)snprintf(name, size, "keyframes/frame_%06zu.jpg", index);
}

static void jump_command(void *arg, size_t index, struct media_args *args)
{
    const struct sampling *self = arg;
    char name[64];
    name_picture(name, sizeof name, index);
    media_add(args, "-threads");
    media_add(args, "1");
    media_add(args, "-ss");
    media_add(args, "%.6f", ((double)index + 0.5) * self->seconds / (double)self->wanted);
    media_add_input(args, self->video_path);
    media_add(args, "-map");
    media_add(args, "0:V:0");
    media_add(args, "-frames:v");
    media_add(args, "1");
    media_add(args, "-update");
    media_add(args, "1");
    add_picture_options(args);
    media_add(args, "%s", name);
}

static int jump_ended(void *arg, size_t index, const struct media_end *end)
{
    struct sampling *self = arg;
    char name[64];
    struct stat about;
    name_picture(name, sizeof name, index);
    if (end->code == 0 && stat(name, &about) == 0 && about.st_size > 0)
        self->found++;
    self->ended++;
    engine_progress(self->engine, 0.95 * (double)self->ended / (double)self->wanted);
    return self->found == self->ended ? 0 : STATUS_EMPTY; /* nothing there: decode everything */
}

static int sample_by_jumps(struct sampling *self)
{
    struct media_work work = { .count = self->wanted,
                               .parallel = media_processors(),
                               .command = jump_command,
                               .ended = jump_ended,
                               .arg = self };
    return media_run(self->engine, &work);
}

/* Where the count of pictures chosen so far grows: N of F in all, each in the middle of its part.
 */
static void select_args(const struct sampling *self, struct media_args *args)
{
    unsigned long long n = self->wanted, f = self->pictures;
    media_add_input(args, self->video_path);
    media_add(args, "-map");
    media_add(args, "0:V:0");
    media_add(args, "-fps_mode");
    media_add(args, "passthrough");
    media_add(args, "-vf");
    if (f > n)
        media_add(args,
                  "select=gt(floor((n+1)*%llu/%llu+0.5)\\,floor(n*%llu/%llu+0.5))," MEDIA_TICKS, n,
                  f, n, f);
    else
        media_add(args, MEDIA_TICKS);
    media_add(args, "-frames:v");
    media_add(args, "%llu", n);
    media_add(args, "-start_number");
    media_add(args, "0");
    add_picture_options(args);
    media_add(args, "keyframes/frame_%%06d.jpg");
}

static int sample_by_decoding(struct sampling *self)
{
    scoped_in(media_args) args = { 0 };
    select_args(self, &args);
    struct media_call call = { .args = &args, .pictures = self->wanted, .from = 0, .to = 0.95 };
    int r = media_call(self->engine, "video_path", &call);
    return r == 0 ? media_check_whole(self->engine, "video_path", &self->info, &call.end,
                                      self->pictures)
                  : r;
}

/* How many pictures decoding really yields: edit lists and broken parts make it differ from what
 * the container says. */
static int count_by_decoding(struct sampling *self)
{
    scoped_in(media_args) args = { 0 };
    media_add_input(&args, self->video_path);
    const char *options[] = { "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "null", "-" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        media_add(&args, "%s", options[i]);
    struct media_call call = { .args = &args };
    int r = media_call(self->engine, "video_path", &call);
    if (r == 0)
        self->pictures = call.end.frames;
    return r;
}

static int remove_pictures(void)
{
    char name[64];
    for (size_t i = 0; i < COUNT_MAX; i++) {
        name_picture(name, sizeof name, i);
        (void)unlink(name);
    }
    return media_files_count("keyframes") == 0 ? 0 : -EEXIST;
}

static int sample(struct sampling *self)
{
    bool far = self->seconds > 0 && self->pictures > self->wanted * JUMP_WORTH;
    if (far) {
        int r = sample_by_jumps(self);
        if (r <= 0)
            return r;
        r = remove_pictures();
        if (r != 0)
            return r;
    }

    int r = media_count_packets(self->engine, "video_path", self->video_path, &self->pictures);
    if (r == 0)
        r = sample_by_decoding(self);
    uint64_t got = media_files_count("keyframes");
    if (r != 0 || got >= self->wanted || got >= self->pictures)
        return r;
    r = count_by_decoding(self);
    return r == 0 && self->pictures > got ? sample_by_decoding(self) : r;
}

static const struct upload_inputs upload_inputs = {
    .upload = "upload_keyframes_to_minio",
    .compress = "compress_keyframes_before_upload",
    .format = "keyframe_compression_format",
    .level = "keyframe_compression_level",
    .remove = "delete_local_keyframes_after_upload",
};
static const struct upload_names upload_names = {
    .folder = "keyframe_dir",
    .url = "keyframe_minio_url",
    .archive = "keyframe_compressed_archive_url",
    .files = "keyframe_files_count",
    .uploaded = "keyframe_uploaded_files",
    .info = "keyframe_compression_info",
    .error = "keyframe_upload_error",
};

int ffmpeg_extract_keyframes(engine_t *engine)
{
    struct sampling self = { .engine = engine };
    struct upload_wish wish;
    int r = upload_read(engine, &upload_inputs, &wish);
    if (r == 0)
        r = engine_text(engine, "video_path", &self.video_path);
    if (r == 0)
        r = engine_whole(engine, "keyframe_sample_count", 1, COUNT_MAX, &self.wanted);
    if (r == 0)
        r = media_probe(engine, "video_path", self.video_path, &self.info);
    if (r != 0)
        return r;
    const struct media_info *info = &self.info;
    if (!info->has_video)
        return engine_refuse(engine, STATUS_FAILED, "video_path", "%s has no video stream",
                             self.video_path);

    engine_share(engine, 0, wish.upload ? MADE_AT : 1);
    self.seconds = info->video_duration_s > 0 ? info->video_duration_s : info->duration_s;
    self.pictures = info->frames;
    if (mkdir("keyframes", 0777) != 0)
        return -errno;
    r = sample(&self);
    if (r != 0)
        return r;
    uint64_t count = media_files_count("keyframes");
    if (count == 0)
        return engine_refuse(engine, STATUS_FAILED, "video_path",
                             "the video stream holds no picture that can be decoded");
    const struct upload_folder made = { "keyframes", "keyframes", count };
    engine_share(engine, MADE_AT, 1);
    return upload_made(engine, &wish, &upload_names, &made);
}
