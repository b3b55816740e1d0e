#pragma once
/* The inside of an engine, for its own files. */
#include "services/worker/engine.h"
#include "services/worker/engine_report.h"

enum { FIELD_MAX = 64, MESSAGE_MAX = 1024 };

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
    struct settings settings;
    objects_t *objects; /* NULL until it is asked for */
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

/* Room for a text that lives as long as the engine, or NULL. */
char *engine_text_new(engine_t *self, size_t size);
/* Reads what the second value says of them: 0, or refused. */
int engine_take_settings(engine_t *self);
