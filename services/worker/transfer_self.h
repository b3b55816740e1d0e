#pragma once
/* The inside of transfer.h, for its own files. */
#include "services/worker/transfer.h"

/* What objects_error_outside() says of a result, and what that means for another attempt. */
int transfer_failed(const objects_t *objects, int result, const char *what,
                    char ret_why[TRANSFER_WHY]);
int transfer_says(int result, char ret_why[TRANSFER_WHY], const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An upload of parts that an earlier attempt had begun of the same object, "" for none; and the one
 * under way, left for the next attempt. */
void transfer_kept(const engine_t *engine, objects_t *objects, const char *bucket, const char *key,
                   char ret_upload[OBJECTS_UPLOAD_MAX]);
void transfer_keep(engine_t *engine, const char *bucket, const char *key, const char *upload);

/* An array of one name. */
void transfer_name_only(struct transfer_done *done, const char *name);

/* How much of how much is over. */
struct transfer_way {
    engine_t *engine;
    uint64_t done, total;
    const char *bucket, *key; /* of the upload that is under way */
};
/* For struct objects_watch and struct objects_put, whose arg is a way. */
void transfer_moved(void *arg, uint64_t bytes);
void transfer_began(void *arg, const char *upload);

/* Room for a path or a key. 0, or INVALID with a sentence. */
int transfer_join(const char *first, const char *second, char *ret_text, size_t size,
                  char ret_why[TRANSFER_WHY]);

/* One file as one object; way.total is the caller's. */
struct transfer_one {
    objects_t *objects;
    const char *bucket, *key, *path, *content_type;
    uint64_t bytes; /* that it must have */
    bool verify;
    struct transfer_way *way;
};
int transfer_put_one(const struct transfer_one *one, struct object_info *ret_info,
                     char ret_why[TRANSFER_WHY]);
/* transfer_folder.c: key of put is what those of its files begin with. */
int transfer_put_folder(engine_t *engine, objects_t *objects, const struct transfer_put *put,
                        struct transfer_done *ret_done, char ret_why[TRANSFER_WHY]);
/* transfer_archive.c: *ret_against is false when it cannot be compressed, but that does not speak
 * against uploading it as it is. */
int transfer_put_archive(engine_t *engine, objects_t *objects, const struct transfer_put *put,
                         struct transfer_done *ret_done, bool *ret_against,
                         char ret_why[TRANSFER_WHY]);
