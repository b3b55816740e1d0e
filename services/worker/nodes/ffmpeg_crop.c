/* ffmpeg.crop_subtitle_images: the subtitle's rectangle of every picture, for OCR.
 *
 * cropped_images/frames/frame_%08d.jpg, where the number is the picture's index from 0: at a
 * constant rate it was shown at index / rate. Decoding may be divided by time among several ffmpeg;
 * each writes to a folder of its own, and since time is divided at one and the same moments no
 * picture is missed or taken twice. */
#include "services/worker/media.h"

#include "common/scoped.h"
#include "services/worker/nodes/upload.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAMES "cropped_images/frames"
/* The share of the work after which the pictures are uploaded. */
#define MADE_AT 0.6

enum { PART_PICTURES_MIN = 250, PROCESSES_MAX = 64 };

struct cropping {
    engine_t *engine;
    const char *video_path;
    uint32_t x, y, width, height;
    uint64_t processes;
    struct media_info info;
    double seconds;
    uint64_t pictures; /* that the container promises */
    size_t parts;
    double moments[PROCESSES_MAX + 1];
    uint64_t done[PROCESSES_MAX];
    struct upload_wish wish;
    bool incomplete; /* a part failed: all is decoded again in one go, which tells why */
};

static int read_area(struct cropping *self)
{
    const char *key = "subtitle_area";
    double area[4];
    int r = engine_numbers(self->engine, key, 4, area);
    if (r != 0)
        return r;
    for (size_t i = 0; i < 4; i++)
        if (area[i] != floor(area[i]) || area[i] < 0)
            return engine_refuse(self->engine, STATUS_INVALID, key,
                                 "%s [x1, y1, x2, y2] must be whole numbers from 0", key);
    if (area[2] <= area[0] || area[3] <= area[1])
        return engine_refuse(self->engine, STATUS_INVALID, key,
                             "%s is empty: x1 < x2 and y1 < y2 must hold", key);
    if (area[2] > self->info.width || area[3] > self->info.height)
        return engine_refuse(self->engine, STATUS_INVALID, key,
                             "%s ends at %g x %g, outside the video's %u x %u", key, area[2],
                             area[3], self->info.width, self->info.height);
    self->x = (uint32_t)area[0];
    self->y = (uint32_t)area[1];
    self->width = (uint32_t)(area[2] - area[0]);
    self->height = (uint32_t)(area[3] - area[1]);
    return 0;
}

static const struct upload_inputs upload_inputs = {
    .upload = "upload_cropped_images_to_minio",
    .compress = "compress_directory_before_upload",
    .format = "compression_format",
    .level = "compression_level",
    .remove = "delete_local_cropped_images_after_upload",
    .fall_back = true,
};
static const struct upload_names upload_names = {
    .folder = "cropped_images_path",
    .url = "cropped_images_minio_url",
    .archive = "compressed_archive_url",
    .files = "cropped_images_files_count",
    .uploaded = "cropped_images_uploaded_files",
    .info = "compression_info",
    .fallback = "fallback_from_compression",
    .error = "cropped_images_upload_error",
};

static int read_inputs(struct cropping *self)
{
    engine_t *engine = self->engine;
    int r = upload_read(engine, &upload_inputs, &self->wish);
    if (r == 0)
        r = engine_text(engine, "video_path", &self->video_path);
    if (r == 0)
        r = engine_whole(engine, "decode_processes", 1, PROCESSES_MAX, &self->processes);
    if (r == 0 && !engine_given(engine, "subtitle_area"))
        r = engine_refuse(engine, STATUS_INVALID, "subtitle_area",
                          "subtitle_area [x1, y1, x2, y2] is missing");
    if (r == 0)
        r = media_probe(engine, "video_path", self->video_path, &self->info);
    if (r == 0 && !self->info.has_video)
        r = engine_refuse(engine, STATUS_FAILED, "video_path", "%s has no video stream",
                          self->video_path);
    return r == 0 ? read_area(self) : r;
}

static void add_cropping(const struct cropping *self, struct media_args *args, const char *folder)
{
    media_add(args, "-map");
    media_add(args, "0:V:0");
    media_add(args, "-fps_mode");
    media_add(args, "passthrough");
    media_add(args, "-vf");
    media_add(args, "crop=%u:%u:%u:%u:exact=1," MEDIA_TICKS, self->width, self->height, self->x,
              self->y);
    media_add(args, "-q:v");
    media_add(args, "2");
    media_add(args, "-f");
    media_add(args, "image2");
    media_add(args, "-start_number");
    media_add(args, "0");
    media_add(args, "%s/frame_%%08d.jpg", folder);
}

/* Parts are worth their start only when each has much to do, and need a container that leads
 * exactly to a time. Moments lie between two pictures. */
static void divide(struct cropping *self)
{
    uint64_t parts = media_processors();
    parts = self->processes < parts ? self->processes : parts;
    if (self->pictures / PART_PICTURES_MIN < parts)
        parts = self->pictures / PART_PICTURES_MIN;
    bool possible = self->info.seekable && self->seconds > 0 && self->info.frame_rate > 0;
    self->parts =
        possible && parts > 1 ? (size_t)(parts < PROCESSES_MAX ? parts : PROCESSES_MAX) : 1;
    for (size_t i = 1; i < self->parts; i++) {
        double picture =
            round((double)i * self->seconds * self->info.frame_rate / (double)self->parts);
        self->moments[i] = (picture - 0.5) / self->info.frame_rate;
    }
}

static void part_folder(char *folder, size_t size, size_t index)
{
    (void)snprintf(folder, size, "part_%zu", index);
}

static void part_command(void *arg, size_t index, struct media_args *args)
{
    const struct cropping *self = arg;
    char folder[32];
    part_folder(folder, sizeof folder, index);
    size_t threads = media_processors() / self->parts;
    media_add(args, "-threads");
    media_add(args, "%zu", threads > 1 ? threads : 1);
    if (index > 0) {
        media_add(args, "-ss");
        // index < parts <= PROCESSES_MAX
        // cppcheck-suppress arrayIndexOutOfBoundsCond
        media_add(args, "%.6f", self->moments[index]);
    }
    if (index + 1 < self->parts) {
        media_add(args, "-to");
        media_add(args, "%.6f", self->moments[index + 1]);
    }
    media_add_input(args, self->video_path);
    add_cropping(self, args, folder);
}

static void part_progress(void *arg, size_t index, const struct media_end *so_far)
{
    struct cropping *self = arg;
    uint64_t done = 0;
    self->done[index] = so_far->frames;
    for (size_t i = 0; i < self->parts; i++)
        done += self->done[i];
    engine_progress(self->engine, 0.95 * (double)done / (double)self->pictures);
}

static int part_ended(void *arg, size_t index, const struct media_end *end)
{
    struct cropping *self = arg;
    self->done[index] = end->frames;
    self->incomplete = self->incomplete || end->code != 0;
    return 0;
}

/* Moves what the parts made to one folder, or removes it. */
static int gather(struct cropping *self, bool keep)
{
    uint64_t next = 0;
    for (size_t part = 0; part < self->parts; part++) {
        char folder[32], from[80], to[80];
        part_folder(folder, sizeof folder, part);
        for (uint64_t i = 0;; i++, next++) {
            (void)snprintf(from, sizeof from, "%s/frame_%08llu.jpg", folder, (unsigned long long)i);
            (void)snprintf(to, sizeof to, FRAMES "/frame_%08llu.jpg", (unsigned long long)next);
            if ((keep ? rename(from, to) : unlink(from)) != 0)
                break;
        }
        if (errno != ENOENT || rmdir(folder) != 0)
            return -errno;
    }
    return 0;
}

/* STATUS_EMPTY: the parts did not yield what the container promises, as with edit lists. */
static int crop_in_parts(struct cropping *self)
{
    int r = media_count_packets(self->engine, "video_path", self->video_path, &self->pictures);
    for (size_t i = 0; r == 0 && i < self->parts; i++) {
        char folder[32];
        part_folder(folder, sizeof folder, i);
        r = mkdir(folder, 0777) == 0 ? 0 : -errno;
    }
    struct media_work work = { .count = self->parts,
                               .parallel = self->parts,
                               .command = part_command,
                               .ended = part_ended,
                               .progress = part_progress,
                               .arg = self };
    if (r == 0)
        r = media_run(self->engine, &work);
    if (r != 0)
        return r;

    uint64_t done = 0;
    for (size_t i = 0; i < self->parts; i++)
        done += self->done[i];
    bool keep = done == self->pictures && !self->incomplete;
    r = gather(self, keep);
    return r == 0 && !keep ? STATUS_EMPTY : r;
}

static int crop_in_one(struct cropping *self)
{
    scoped_in(media_args) args = { 0 };
    media_add_input(&args, self->video_path);
    add_cropping(self, &args, FRAMES);
    struct media_call call = { .args = &args, .pictures = self->pictures, .from = 0, .to = 0.95 };
    int r = media_call(self->engine, "video_path", &call);
    return r == 0 ? media_check_whole(self->engine, "video_path", &self->info, &call.end,
                                      call.end.frames)
                  : r;
}

int ffmpeg_crop_subtitle_images(engine_t *engine)
{
    struct cropping self = { .engine = engine };
    int r = read_inputs(&self);
    if (r != 0)
        return r;
    if (mkdir("cropped_images", 0777) != 0 || mkdir(FRAMES, 0777) != 0)
        return -errno;

    engine_share(engine, 0, self.wish.upload ? MADE_AT : 1);
    const struct media_info *info = &self.info;
    self.seconds = info->video_duration_s > 0 ? info->video_duration_s : info->duration_s;
    self.pictures = info->frames;
    divide(&self);
    r = self.parts > 1 ? crop_in_parts(&self) : STATUS_EMPTY;
    if (r == STATUS_EMPTY)
        r = crop_in_one(&self);
    if (r != 0)
        return r;

    uint64_t count = media_files_count(FRAMES);
    if (count == 0)
        return engine_refuse(engine, STATUS_FAILED, "video_path",
                             "the video stream holds no picture that can be decoded");
    const struct upload_folder made = { FRAMES, "cropped_images", count };
    engine_share(engine, MADE_AT, 1);
    return upload_made(engine, &self.wish, &upload_names, &made);
}
