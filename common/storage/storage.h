#pragma once
/* A task's files. Each task has one folder, {root}/{id}; its temporary files are
 * {root}/{id}/tmp/temp_{ms}_{uuid8}{suffix}; what is removed goes through {root}/.trash. Every name
 * is looked up from an open folder by the kernel (openat2), no link is followed, and nothing here
 * touches the system's temporary folders. All calls may block. */
#include "common/slice.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum { STORAGE_TEMP_NAME = 96, STORAGE_SUFFIX_MAX = 32, STORAGE_MESSAGE = 256 };
#define STORAGE_TRASH ".trash" /* no task's id begins with a dot */
/* Of manifests {id}.jsonl: folders that came from elsewhere. */
#define STORAGE_MIGRATED ".migrated"
#define STORAGE_PART ".part." /* and eight hexadecimal digits: a copy on its way */

/* Opens {root}/{id} (made, with its tmp, when make is set). 0 and a descriptor (O_PATH) that the
 * caller closes; STATUS_INVALID (no task's id), STATUS_NOT_FOUND, STATUS_DENIED (a link or no
 * folder stands in its place), or -errno. */
int storage_open(const char *root, struct slice id, bool make, int *ret_folder);

/* The same, always made, for who needs its name (PATH_MAX), absolute and free of links. */
int storage_task_folder(const char *root, struct slice id, char *ret_path);
/* {folder}/tmp/{task_name}.{attempt}.{uuid8}, new and empty: an attempt of a forgotten task's that
 * still ends meets no other's of the same number. 0 or -errno. ret_path (PATH_MAX). */
int storage_attempt_folder(const char *folder, const char *task_name, uint32_t attempt,
                           char *ret_path);

/* Whether a result may come to this path in a task's folder: a plain one (paths.h), and not in tmp,
 * which is cleaned. */
bool storage_is_place(const char *path);
/* Makes the folders above a plain path (paths.h) that is taken in folder, through no link. 0 or
 * -errno: -ENOTDIR and -ELOOP when something else has a folder's name. */
int storage_make_parents(const char *folder, const char *path);

/* "temp_{ms}_{uuid8}{suffix}": suffix "" or "." and [A-Za-z0-9._-], else -EINVAL. */
int storage_temp_name(const char *suffix, char ret_name[STORAGE_TEMP_NAME]);
/* Makes such a file beneath the task's tmp, open for reading and writing. ret_name is its name in
 * tmp. 0 or -errno. */
int storage_temp_open(int folder, const char *suffix, char ret_name[STORAGE_TEMP_NAME],
                      int *ret_file);

/* Moves a file or a folder to its place, whose folder is there: rename; across file systems a copy
 * (reflink, else copy_file_range) beside the place, fsync, rename, and only then is the source
 * removed. A reader sees the old or the whole new one, whatever is killed when, and the source is
 * there unless the new one is whole; what a kill leaves is named .part.{uuid8} in the place's
 * folder, for storage_sweep. A rename is not synced: what it moves is on the disk when the system
 * writes it, as with any program that does not wait. A link is refused (-ELOOP). 0 or -errno;
 * -ENOSPC leaves all as it was. */
int storage_hand_over(const char *from, const char *to);
/* The same, but what stands at the place stays: -EEXIST. Of files only. */
int storage_hand_over_new(const char *from, const char *to);
/* The same in one step or not at all: -EXDEV across file systems. */
int storage_rename_new(const char *from, const char *to);
/* Whether a name is that of a copy on its way. */
bool storage_is_part(const char *name);
/* What is left behind beneath a task's open folder: what lies in its tmp, and parts of hand-overs.
 * Younger ones than age_ms are somebody's work and stay. *ret_count: entries removed. 0 or -errno.
 */
int storage_sweep(int folder, int64_t age_ms, uint64_t *ret_count);
/* How many that would remove. */
int storage_sweep_look(int folder, int64_t age_ms, uint64_t *ret_count);
/* When anything in an open folder, or it itself, was changed last: wall clock. 0 or -errno. */
int storage_changed(int folder, int64_t *ret_ms);

struct storage_usage {
    uint64_t bytes; /* on disk, as du says it; a file of several names counts once */
    uint64_t files;
};
/* All beneath an open folder; other file systems are not entered. 0 or -errno. */
int storage_usage(int folder, struct storage_usage *ret_usage);
/* The same without the folder's own tmp: what a task keeps. */
int storage_usage_kept(int folder, struct storage_usage *ret_usage);

enum storage_fate { STORAGE_REMOVED, STORAGE_MISSING, STORAGE_FAILED };
struct storage_removal {
    enum storage_fate fate;
    bool retriable;                /* it failed, and may not the next time */
    char message[STORAGE_MESSAGE]; /* unless it was removed */
};
/* {root}/{id} and all beneath, and nothing else: it is moved into {root}/.trash in one step, and
 * removed there; what migration knew of it (STORAGE_MIGRATED) goes as well. Again is MISSING. A
 * name that is no task's id, or a link or no folder in its place, fails, and so does the root
 * itself in any spelling. */
void storage_remove(const char *root, struct slice id, struct storage_removal *ret_removal);
/* What removals that were cut off left in the trash; *ret_count: entries removed. Younger ones than
 * age_ms are somebody's work and stay. 0 or -errno. */
int storage_empty_trash(const char *root, int64_t age_ms, uint64_t *ret_count);
/* How many that would remove. */
int storage_trash_look(const char *root, int64_t age_ms, uint64_t *ret_count);

/* 0: neither path lies in the other, links followed, whether they are there yet or not;
 * STATUS_CONFLICT: they are one, or one does; -errno. */
int storage_apart(const char *first, const char *second);

/* Of the file system that path lies on. 0 or -errno. */
struct storage_space {
    uint64_t total, available; /* bytes; available to us */
};
int storage_space(const char *path, struct storage_space *ret_space);
