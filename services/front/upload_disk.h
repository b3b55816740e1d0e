#pragma once
/* An upload on the shared disk: {root}/{id}/upload.json says what it is,
 * {root}/{id}/tmp/upload.data has the bytes that came; whole, these are handed over to
 * {root}/{id}/{name}. So any front-end service goes on with any upload, and how far it is, is what
 * the file has. Who writes holds a lock of the file (flock), which ends with its process. All calls
 * block. */
#include "common/objects/objects.h"
#include "common/slice.h"

#define UPLOAD_TASK "storage.upload_file"
enum { UPLOAD_ID_SIZE = 129, UPLOAD_NAME_SIZE = 256, UPLOAD_TYPE_SIZE = 128 };

struct upload_about {
    char id[UPLOAD_ID_SIZE]; /* of the task too that will push it into the store */
    char file_path[OBJECTS_KEY_MAX + 1];
    char bucket[OBJECTS_BUCKET_MAX + 1];
    char content_type[UPLOAD_TYPE_SIZE];
    uint64_t size;   /* when it is whole; 0: that shows at its end */
    bool resumable;  /* tus; else it lives no longer than its request */
    bool submitted;  /* its task is kept, or has taken the file already */
    uint64_t offset; /* bytes that are there; not kept */
    bool handed;     /* it lies at its place; not kept */
};

/* Its file's name in the task's folder: the last segment of its path, where that can be one. */
const char *upload_disk_name(const struct upload_about *about);

/* A new one, with a folder of its own; *ret_file is open for writing and locked. 0 or -errno, and
 * nothing of it is left. */
int upload_disk_make(const char *root, const struct upload_about *about, int *ret_file);
/* 0, STATUS_NOT_FOUND or -errno. */
int upload_disk_look(const char *root, const char *id, struct upload_about *ret_about);
/* The same, of one that is not submitted, and *ret_file is open for writing and locked;
 * STATUS_BUSY: somebody else is at it. */
int upload_disk_open(const char *root, const char *id, struct upload_about *ret_about,
                     int *ret_file);
/* All bytes are on the disk, and at their place (unless handed). about is kept as it is now. 0 or
 * -errno. */
int upload_disk_finish(const char *root, const struct upload_about *about, int file);
/* Its task is kept. 0 or -errno. */
int upload_disk_submitted(const char *root, const struct upload_about *about);
/* With its folder. 0 or -errno. */
int upload_disk_remove(const char *root, const char *id);
/* Removes unfinished ones that nobody has written to for age_ms. *ret_count: how many. 0 or -errno.
 */
int upload_disk_sweep(const char *root, int64_t age_ms, uint64_t *ret_count);
