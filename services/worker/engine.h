#pragma once
/* The program gantry-engine: one node, one run, blocking, in a process of its own, so that whatever
 * a codec does it does to nobody else.
 *
 * Started as `gantry-engine NODE` in the attempt's own empty folder, with GANTRY_FOLDER (the task's
 * folder), GANTRY_FFMPEG and GANTRY_FFPROBE in the environment. stdin: a msgpack map of inputs, a
 * map {"attempt": n, "failures": n, "crashes": n, "checkpoint": what an earlier attempt left, or
 * nil, "owned": by a user, "addresses": names of inputs, "settings": map of texts, see
 * pass_settings.h}, then its end. Descriptor 3: msgpack maps
 * {"progress": 0..1} and {"checkpoint": value}, then one of {"output": map, "files": [[from,
 * to]...]} (from in the attempt's folder, to in the task's), {"skipped": map}, {"error": {code,
 * message, field}}, {"retry": {message, after_ms}} or
 * {"snooze": {after_ms}}. Exit code 0 goes with output and skipped; 75 asks for another attempt. */
#include "common/objects/objects.h"
#include "common/settings.h"
#include "common/slice.h"
#include "common/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct engine engine_t;

/* 0: output was put. Positive: engine_refuse() has said why. Negative: -errno. */
typedef int engine_run_fn(engine_t *self);

/* The functions that nodes are, by name. */
struct engine_row {
    const char *node; /* "service.method" */
    engine_run_fn *run;
};
/* NULL: no such node. */
const struct engine_row *engine_find(const char *node);

engine_run_fn audio_separator_vocals;      /* nodes/audio_separator_vocals.c */
engine_run_fn ffmpeg_extract_audio;        /* nodes/ffmpeg_audio.c */
engine_run_fn ffmpeg_extract_keyframes;    /* nodes/ffmpeg_keyframes.c */
engine_run_fn ffmpeg_crop_subtitle_images; /* nodes/ffmpeg_crop.c */
engine_run_fn ffmpeg_split_audio_segments; /* nodes/ffmpeg_segments.c */
engine_run_fn storage_download;            /* nodes/storage_download.c */
engine_run_fn storage_upload_directory;    /* nodes/storage_upload.c */
engine_run_fn storage_upload_file;         /* nodes/storage_upload.c */
engine_run_fn system_cleanup;              /* nodes/system_cleanup.c */
engine_run_fn system_fail;                 /* nodes/system_fail.c */
engine_run_fn system_sleep;                /* nodes/system_sleep.c */
engine_run_fn video_process;               /* nodes/video_process.c */

/* main() of the program. */
int engine_main(int argc, char **argv);

/* Inputs. Each answers 0 or a status, having refused by the input's name. What is borrowed lives as
 * long as the engine. "" counts as absent where a text must be there. A key may be "map.member". */
bool engine_given(const engine_t *self, const char *key);
int engine_text(engine_t *self, const char *key, const char **ret_text);
int engine_whole(engine_t *self, const char *key, uint64_t least, uint64_t most,
                 uint64_t *ret_whole);
int engine_number(engine_t *self, const char *key, double least, double most, double *ret_number);
int engine_switch(engine_t *self, const char *key, bool *ret_on);
/* A list of exactly count numbers. */
int engine_numbers(engine_t *self, const char *key, size_t count, double *ret_numbers);
/* INVALID when the map holds a member that names, which ends with NULL, does not; absent is good.
 */
int engine_members(engine_t *self, const char *key, const char *const *names);

/* What an earlier attempt left: any value. False: nothing. */
bool engine_checkpoint(const engine_t *self, struct slice *ret_value);
/* "attempt" (from 1), "failures" or "crashes"; 0 when it is not known. */
uint64_t engine_count(const engine_t *self, const char *what);
/* Leaves a packed value for the next attempt, should this one not come to its end. */
void engine_keep(engine_t *self, struct slice value);

/* The settings that engines get, see pass_settings.h; the others have their defaults. Borrowed. */
const struct settings *engine_settings(const engine_t *self);
/* How the store is reached: 0, or what objects_of_settings() says, with a sentence in ret_why (size
 * bytes). Refuses nothing. */
int engine_store(engine_t *self, objects_t **ret_objects, char *ret_why, size_t size);
/* The object store, the engine's own. UNSUPPORTED when none is configured, refused. */
int engine_objects(engine_t *self, objects_t **ret_objects);

const char *engine_ffmpeg(const engine_t *self);
const char *engine_ffprobe(const engine_t *self);

/* Tells how far the work is, 0..1; told on at most five times a second, and never backwards. */
void engine_progress(engine_t *self, double progress);
/* What is told from now on as 0..1 are these bounds of the node's work. */
void engine_share(engine_t *self, double from, double to);
/* The task's id; "" when nobody said. */
const char *engine_task(const engine_t *self);
/* The task is a user's: private addresses are not for it. */
bool engine_owned(const engine_t *self);
/* The task's folder, absolute. */
const char *engine_folder(const engine_t *self);

/* The output, put key by key. A path is given beneath the task's folder and put as an absolute one.
 */
void engine_put_text(engine_t *self, const char *key, const char *text);
void engine_put_texts(engine_t *self, const char *key, const char *const *texts, size_t count);
void engine_put_path(engine_t *self, const char *key, const char *relative);
void engine_put_switch(engine_t *self, const char *key, bool on);
void engine_put_whole(engine_t *self, const char *key, uint64_t whole);
void engine_put_number(engine_t *self, const char *key, double number);
/* value is one packed msgpack value. */
void engine_put_packed(engine_t *self, const char *key, struct slice value);
/* {task's folder}/relative; borrowed. NULL when out of memory. */
const char *engine_final_path(engine_t *self, const char *relative);
/* A file or folder made here that shall be handed over to the task's folder under the same relative
 * name. */
void engine_hand_over(engine_t *self, const char *relative);
/* The same under another name in the task's folder. */
void engine_hand_over_as(engine_t *self, const char *from, const char *to);
/* What is put for this key by engine_put_path() is not uploaded by storage.auto_upload: the node
 * saw to that itself. */
void engine_stays(engine_t *self, const char *key);
/* What was put is the output of a stage that chose to do nothing. */
void engine_skip(engine_t *self);

/* Not now: another attempt after so long. What is answered is to be answered by the node. */
int engine_snooze(engine_t *self, int64_t after_ms);
/* It failed, but another attempt may not; after_ms < 0: when the back-off says. */
int engine_retry(engine_t *self, int64_t after_ms, const char *message, ...)
    __attribute__((format(printf, 3, 4)));
/* Says why it failed; the first reason stays. field: the input that is wrong, or NULL. Answers
 * status. */
int engine_refuse(engine_t *self, enum status status, const char *field, const char *message, ...)
    __attribute__((format(printf, 4, 5)));
