/* What ffprobe says of a file, and how files are named to ffmpeg. */
#include "services/worker/media.h"

#include "common/scoped.h"
#include "common/utf8.h"
#include "services/worker/media_child.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    PROBE_MAX = 4 << 20,
    WAV_HEADER = 80,      /* with room for what files of 4 GiB need */
    WAV_HEADER_LONG = 104 /* above 48 kHz ffmpeg says more of the format */
};

/* Containers and plain streams only: what merely points at other files or addresses (hls, concat,
 * dash, image2 with its patterns, sdp, imf) is no video here, whatever its name says. */
#define FORMATS                                                                                    \
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,kux,asf,"    \
    "asf_o,wtv,rm,mxf,gxf,nut,ogg,ivf,dv,nsv,swf,h261,h263,h264,hevc,vc1,obu,av1,avs2,avs3,"       \
    "cavsvideo,dirac,dnxhd,mjpeg,yuv4mpegpipe,gif,apng,lxf,dhav,viv,vivo,wav,w64,aiff,au,caf,mp3," \
    "flac,aac,ac3,eac3,dts,dtshd,truehd,mlp,amr,amrnb,amrwb,wv,ape,tta,tak,mpc,mpc8,oma,qcp,voc,"  \
    "sox,spdif,gsm,g722,loas,aea,dsf,iff,shn,xwma,s16le"

typedef json_t json_value_t;

static void json_value_destroy(json_value_t **value_p)
{
    json_decref(*value_p);
}

void media_add_input(struct media_args *self, const char *path)
{
    media_add(self, "-protocol_whitelist");
    media_add(self, "file");
    media_add(self, "-format_whitelist");
    media_add(self, FORMATS);
    media_add(self, "-i");
    media_add(self, "file:%s", path);
}

void media_add_wav(struct media_args *self, const char *path)
{
    const char *options[] = { "-map_metadata", "-1",    "-c:a", "pcm_s16le", "-fflags",
                              "+bitexact",     "-rf64", "auto", "-f",        "wav" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        media_add(self, "%s", options[i]);
    media_add(self, "file:%s", path);
}

double media_wav_seconds(const char *path, uint32_t rate, uint32_t channels)
{
    struct stat about;
    off_t header = rate > 48000 || channels > 2 ? WAV_HEADER_LONG : WAV_HEADER;
    if (stat(path, &about) != 0 || about.st_size <= header)
        return 0;
    return (double)(about.st_size - header) / (2.0 * channels * rate);
}

static int check_file(engine_t *engine, const char *field, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return engine_refuse(engine, STATUS_NOT_FOUND, field, "%s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode))
        return engine_refuse(engine, STATUS_INVALID, field, "%s is no regular file", path);
    if (about.st_size == 0)
        return engine_refuse(engine, STATUS_INVALID, field, "%s is empty", path);
    return 0;
}

/* All that a child says, up to size; answers how many bytes, its exit code in *ret_code. */
static size_t listen(struct media_child *child, char *text, size_t size, int *ret_code)
{
    size_t got = 0;
    while (!media_child_silent(child)) {
        struct pollfd polls[] = { { child->words, POLLIN, 0 }, { child->errors, POLLIN, 0 } };
        (void)poll(polls, 2, -1);
        char spill[4096];
        bool room = got < size;
        size_t n =
            media_child_read(child, room ? text + got : spill, room ? size - got : sizeof spill);
        got += room ? n : 0;
        media_child_relay(child);
    }
    *ret_code = media_child_end(child);
    return got;
}

static int probe(engine_t *engine, const char *field, struct media_args *args, json_t **ret_json)
{
    char *text = malloc(PROBE_MAX);
    struct media_child child;
    int r = text && !args->broken ? media_child_start(&child, args->items, STDOUT_FILENO) : -ENOMEM;
    if (r != 0) {
        free(text);
        return r;
    }

    int code = 0;
    size_t size = listen(&child, text, PROBE_MAX, &code);
    json_error_t error;
    *ret_json = code == 0 ? json_loadb(text, size, 0, &error) : NULL;
    free(text);
    if (*ret_json)
        return 0;
    const char *why = child.line[0] ? child.line : "no media that can be read";
    return engine_refuse(engine, STATUS_FAILED, field, "ffprobe: %s", why);
}

static void probe_args(engine_t *engine, struct media_args *args, const char *entries)
{
    media_add(args, "%s", engine_ffprobe(engine));
    media_add(args, "-hide_banner");
    media_add(args, "-loglevel");
    media_add(args, "error");
    media_add(args, "-of");
    media_add(args, "json");
    media_add(args, "-show_entries");
    media_add(args, "%s", entries);
}

/* ffprobe writes most numbers as texts: "12.480000", "30000/1001", "N/A". */
static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value))
        return json_number_value(value);
    const char *text = json_string_value(value);
    if (!text)
        return 0;
    char *rest;
    double number = strtod(text, &rest);
    double divisor = *rest == '/' ? strtod(rest + 1, NULL) : 1;
    return divisor > 0 && isfinite(number) && number > 0 ? number / divisor : 0;
}

static bool lies_on_its_side(const json_t *stream)
{
    const json_t *list = json_object_get(stream, "side_data_list");
    size_t i;
    json_t *item;
    json_array_foreach (list, i, item) {
        const json_t *rotation = json_object_get(item, "rotation");
        if (json_is_number(rotation))
            return fabs(fmod(json_number_value(rotation), 180.0)) == 90.0;
    }
    return false;
}

static bool is_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && strcmp(value, text) == 0;
}

static void read_video(struct media_info *info, const json_t *stream)
{
    const json_t *disposition = json_object_get(stream, "disposition");
    if (info->has_video || json_integer_value(json_object_get(disposition, "attached_pic")) != 0)
        return;

    bool side = lies_on_its_side(stream);
    double width = number_of(stream, side ? "height" : "width");
    double height = number_of(stream, side ? "width" : "height");
    info->has_video = true;
    info->web_video =
        is_text(stream, "codec_name", "h264") &&
        (is_text(stream, "pix_fmt", "yuv420p") || is_text(stream, "pix_fmt", "yuvj420p"));
    info->width = (uint32_t)(width < UINT16_MAX ? width : UINT16_MAX);
    info->height = (uint32_t)(height < UINT16_MAX ? height : UINT16_MAX);
    info->video_duration_s = number_of(stream, "duration");
    info->frame_rate = number_of(stream, "avg_frame_rate");
    info->frames = (uint64_t)number_of(stream, "nb_frames");
    info->frames_claimed = info->frames > 0;
}

static void read_stream(struct media_info *info, const json_t *stream)
{
    const char *type = json_string_value(json_object_get(stream, "codec_type"));
    if (!type)
        return;
    if (strcmp(type, "video") == 0)
        read_video(info, stream);
    if (strcmp(type, "audio") == 0 && !info->has_audio) {
        info->has_audio = true;
        info->web_audio = is_text(stream, "codec_name", "aac");
        info->audio_duration_s = number_of(stream, "duration");
        info->audio_channels = (uint32_t)fmin(number_of(stream, "channels"), UINT16_MAX);
        info->audio_rate = (uint32_t)fmin(number_of(stream, "sample_rate"), INT32_MAX);
    }
}

static void guess_frames(struct media_info *info)
{
    double seconds = info->video_duration_s > 0 ? info->video_duration_s : info->duration_s;
    if (info->has_video && info->frames == 0)
        info->frames = (uint64_t)(fmin(seconds * info->frame_rate, 1e12) + 0.5);
}

int media_probe(engine_t *engine, const char *field, const char *path, struct media_info *ret_info)
{
    int r = check_file(engine, field, path);
    if (r != 0)
        return r;

    scoped_in(media_args) args = { 0 };
    probe_args(
        engine, &args,
        "format=format_name,duration:stream=codec_type,codec_name,pix_fmt,duration,width,height,"
        "avg_frame_rate,"
        "nb_frames,channels,sample_rate:stream_disposition=attached_pic:stream_side_data=rotation");
    media_add_input(&args, path);
    scoped(json_value) json = NULL;
    r = probe(engine, field, &args, &json);
    if (r != 0)
        return r;

    struct media_info info = { 0 };
    const json_t *format = json_object_get(json, "format");
    const char *name = json_string_value(json_object_get(format, "format_name"));
    info.duration_s = number_of(format, "duration");
    info.seekable = name && (strncmp(name, "mov,", 4) == 0 || strncmp(name, "matroska,", 9) == 0);
    size_t i;
    json_t *stream;
    json_array_foreach (json_object_get(json, "streams"), i, stream)
        read_stream(&info, stream);
    guess_frames(&info);
    *ret_info = info;
    return 0;
}

int media_count_packets(engine_t *engine, const char *field, const char *path,
                        uint64_t *ret_packets)
{
    scoped_in(media_args) args = { 0 };
    probe_args(engine, &args, "stream=nb_read_packets");
    media_add(&args, "-select_streams");
    media_add(&args, "V:0");
    media_add(&args, "-count_packets");
    media_add_input(&args, path);
    scoped(json_value) json = NULL;
    int r = probe(engine, field, &args, &json);
    if (r == 0)
        *ret_packets = (uint64_t)number_of(json_array_get(json_object_get(json, "streams"), 0),
                                           "nb_read_packets");
    return r;
}

int media_check_whole(engine_t *engine, const char *field, const struct media_info *info,
                      const struct media_end *end, uint64_t pictures)
{
    if (!info->frames_claimed || !end->complained ||
        (double)pictures >= 0.95 * (double)info->frames)
        return 0;
    return engine_refuse(engine, STATUS_FAILED, field,
                         "only %llu of %llu pictures could be decoded",
                         (unsigned long long)pictures, (unsigned long long)info->frames);
}

int media_check_sound(engine_t *engine, const char *field, const struct media_end *end,
                      double got_s, double expected_s)
{
    if (!(got_s > 0))
        return engine_refuse(engine, STATUS_FAILED, field,
                             "the audio stream holds no sound that can be decoded");
    if (!end->complained || got_s >= 0.95 * expected_s)
        return 0;
    return engine_refuse(engine, STATUS_FAILED, field,
                         "only %.1f s of %.1f s of sound could be decoded", got_s, expected_s);
}

struct slice media_stem(const char *path, size_t size_max)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t size = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    size_t most = utf8_cut(name, size_max);
    return slice_make(name, size < most ? size : most);
}

size_t media_processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (size_t)count : 1;
}

uint64_t media_files_count(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    uint64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}
