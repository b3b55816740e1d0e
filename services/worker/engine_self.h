#pragma once
/* The inside of an engine, for its own files. */
#include "services/worker/engine.h"
#include "services/worker/engine_report.h"
#include "services/worker/packed.h"

enum { FIELD_MAX = 64, MESSAGE_MAX = 1024 };

/* A path that was put, and what it is uploaded as. */
struct put_path {
    struct put_path *next;
    bool stays;
    const char *relative; /* NULL: it was only said that it stays */
    char key[];
};

/* A text that an input or a path became: kept until the engine ends. */
struct text {
    struct text *next;
    char bytes[];
};

struct engine {
    void *input_bytes;
    struct slice input;     /* checked */
    struct packed replaced; /* what input is, once addresses were fetched */
    struct slice before;    /* the second value, checked, or empty */
    struct text *texts;
    struct put_path *paths;
    struct settings settings;
    objects_t *objects; /* NULL until it is asked for */
    const char *folder, *ffmpeg, *ffprobe, *id;
    struct report_buffer output, files;
    uint32_t output_count, files_count;
    bool skipped;
    double run_from, run_to;   /* of the whole: the node's run */
    double part_from, part_to; /* of the node's run: what it does now */
    double progress;
    int64_t progress_ms;
    enum status refused;
    bool again, snoozed; /* what refused is: another attempt is wanted */
    int64_t after_ms;
    char field[FIELD_MAX], message[MESSAGE_MAX];
};

/* Room for a text that lives as long as the engine, or NULL. */
char *engine_text_new(engine_t *self, size_t size);
/* engine_fetch.c: replaces inputs that are addresses by files in the attempt's folder. 0 or a
 * status, having refused; -errno. */
int engine_fetch_inputs(engine_t *self);
/* engine_upload.c: storage.auto_upload. 0 or -errno; what fails stands in the output. */
int engine_upload_paths(engine_t *self);
/* Reads what the second value says of them: 0, or refused. */
int engine_take_settings(engine_t *self);
