#pragma once
/* Subtitles as a list of entries, from SRT (or WebVTT) or from our JSON of segments: [{start, end,
 * text, speaker?}] or {"segments": [...]}. Pure: bytes in, entries out. */
#include "common/slice.h"

enum { SUBTITLE_ENTRIES_MAX = 200000, SUBTITLE_ERROR = 256 };

struct subtitle_entry {
    double start_s, end_s; /* as they stand: whether they make sense is the caller's to see */
    char *text;            /* lines joined by a blank, UTF-8 */
    char *speaker;         /* "" when unknown; in SRT "[SPEAKER_00] text" */
};

typedef struct subtitle subtitle_t;
struct subtitle {
    struct subtitle_entry *entries;
    size_t count;
};

/* 0 (also for no entry at all in a file that says so: nothing but blanks, or an empty list);
 * STATUS_INVALID with a sentence in error: neither format, or a broken entry; STATUS_TOO_LARGE;
 * -ENOMEM. */
int subtitle_parse(struct slice bytes, subtitle_t **ret_subtitle, char error[SUBTITLE_ERROR]);
void subtitle_destroy(subtitle_t **self_p);
