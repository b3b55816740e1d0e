#pragma once
/* What is moved of one task, and how it was: {folder}/{id}.jsonl, a line of JSON for each file and
 * folder, folders before what is in them. Paths are relative to the task's folder, which is ".". */
#include "proto/json.h"

#include <stdint.h>
#include <sys/stat.h>

/* An object of path to object, in the file's order; empty when there is none. The caller's. 0, or
 * -errno (-EBADMSG: it is no manifest). */
int manifest_read(int folder, const char *id, json_t **ret_manifest);
/* In place of the old one, whole or not at all, and on disk when it answers; an empty one is
 * removed. 0 or -errno. */
int manifest_write(int folder, const char *id, const json_t *manifest);

/* Adds an entry, or replaces it where it stands. 0, -ENOMEM, or -EILSEQ (its name is no UTF-8). */
int manifest_add_file(json_t *manifest, const char *path, const struct stat *info,
                      const char *sha256);
/* made: by the move, where it went to. */
int manifest_add_folder(json_t *manifest, const char *path, const struct stat *info, bool made);

/* NULL of a folder. */
const char *manifest_sha256(const json_t *entry);
bool manifest_made(const json_t *entry);
int64_t manifest_bytes(const json_t *entry);
/* Gives an open folder mode and time as they were. 0 or -errno. */
int manifest_restore(const json_t *entry, int folder);
