#pragma once
/* Moves tasks' folders from one root to another and back, file by file: what is known of each file
 * is written down before the first one moves (STORAGE_MIGRATED), so that it can be told to go on
 * after a kill, or to go back. Nothing is overwritten and nothing but what was moved is removed.
 * Blocks. */
#include "proto/json.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct migration_row {
    const char *from, *to; /* roots, as going forth means them */
    bool back;
    bool dry; /* nothing is changed */
    /* Once for each task, before it. */
    void (*progress)(void *arg, uint64_t done, uint64_t of, int64_t bytes);
    void *arg;
};

struct migration_counts {
    uint64_t tasks;
    uint64_t moved;
    int64_t moved_bytes;
    uint64_t skipped;   /* the same is there already */
    uint64_t conflicts; /* another file is there */
    uint64_t left;      /* no task's, links, and what is no file */
    uint64_t failed;
};

/* 0, -EBUSY (another one runs), -EINVAL (one root lies in the other), or -errno of a root. What
 * concerns a task or a file is counted, and told in notes: an array, the caller's, of
 * { task, path, what, why }, at most MIGRATION_NOTES_MAX of them. */
enum { MIGRATION_NOTES_MAX = 10000 };
int migration_run(const struct migration_row *row, struct migration_counts *ret_counts,
                  json_t **ret_notes);
