#pragma once
/* Which pieces of a sound to cut for a list of subtitles. Pure: knows no file. */
#include "services/worker/subtitle.h"

enum segment_state {
    SEGMENT_WANTED,
    SEGMENT_DONE,
    SEGMENT_SKIPPED, /* too short */
    SEGMENT_FAILED   /* error says why */
};

enum { SEGMENT_FILE_MAX = 256, SEGMENT_ERROR_MAX = 256 };

struct segment {
    double start_s, end_s;
    const struct subtitle_entry *entry; /* NULL: silence between two */
    uint32_t part, parts;               /* part 1 of 1, unless it was longer than the most */
    enum segment_state state;
    const char *error; /* a literal, or error_text */
    char *error_text;  /* owned, NULL unless set by segment_fail */
};

struct segment_rules {
    double audio_s;      /* length of the sound: nothing lasts longer */
    double min_s, max_s; /* shorter ones are skipped, longer ones cut into equal parts */
    bool silence;        /* what lies between the entries too */
};

typedef struct segments segments_t;
struct segments {
    struct segment *items; /* by start */
    size_t count, room;
};

/* NULL when out of memory. Borrows the subtitle's entries. */
segments_t *segments_new(const subtitle_t *subtitle, const struct segment_rules *rules);
void segments_destroy(segments_t **self_p);

size_t segments_count(const segments_t *self, enum segment_state state);
void segment_fail(struct segment *self, const char *why);
/* A speaker's name as that of a folder, into at least SEGMENT_FILE_MAX bytes. */
void segment_folder(const struct segment *self, char *folder);
