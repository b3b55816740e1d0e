#pragma once
/* What the handlers of /v1/files share: the store, and what bounds them. */
#include "common/curl_loop.h"
#include "common/objects/objects.h"
#include "common/storage/storage.h"
#include "proto/list.h"
#include "services/front/front.h"
#include "services/front/pool.h"
#include "services/front/request.h"
#include "services/front/upload_disk.h"

#include <curl/curl.h>

/* One handler each; files.c has their rows. */
void files_upload(request_t *request);           /* files_form.c */
void files_tus_options(request_t *request);      /* files_tus.c */
void files_tus_create(request_t *request);       /* files_tus.c */
void files_tus_head(request_t *request);         /* files_tus_look.c */
void files_tus_patch(request_t *request);        /* files_tus.c */
void files_tus_delete(request_t *request);       /* files_tus_look.c */
void files_tus_progress(request_t *request);     /* files_tus_look.c */
void files_download(request_t *request);         /* files_download.c */
void files_presigned(request_t *request);        /* files_store.c */
void files_delete(request_t *request);           /* files_store.c */
void files_delete_directory(request_t *request); /* files_store.c */

enum { FILES_LINK_SECONDS = 86400, FILES_AGAIN_MS = 1000, FILES_DISK_AGAIN_MS = 10000 };

struct files {
    struct front *front;
    objects_t *objects; /* presigns only, which does not block; NULL: */
    char why[256];      /* there is no store */
    curl_loop_t *curl;
    struct link downloads;
    size_t transfers;   /* bytes of so many uploads and downloads are moving */
    size_t store_calls; /* of threads that wait for the store */
    uv_timer_t tick;
    struct storage_space space; /* as it was a second ago, unless the disk does not answer */
    struct storage_space seen;  /* the pool's, while it looks */
    bool looking;
    bool sweeping;    /* uploads that nobody comes back for */
    int64_t sweep_ms; /* when that is due */
    uint64_t swept;   /* the pool's, while it sweeps */
    struct pool_call look, sweep;
};

/* 0 or -errno. */
int files_new(struct front *front, struct files **ret_files);
/* Nothing more is begun; downloads end. */
void files_stop(struct files *self);
/* Once nothing is in the pool; memory goes in the loop's next turns. */
void files_destroy(struct files **self_p);

/* A store is configured; else the request was refused, 503. */
bool files_has_store(request_t *request);
/* A broker answers; else likewise. */
bool files_has_broker(request_t *request);
/* One more may move; else the request was refused, 503. Each is followed by files_leave(). */
bool files_enter(request_t *request);
void files_leave(struct front *front);
/* So many bytes more leave the disk above storage.low_bytes; else detail says the figures. */
bool files_space(struct front *front, uint64_t wanted, char detail[256]);
/* The most bytes that one upload may have. */
uint64_t files_most(const struct front *front);

/* The bucket that was named, or the first one for NULL; NULL: the request was refused, 400. */
const char *files_bucket(request_t *request, const char *given);
/* The same without a request: NULL when it is none of ours. */
const char *files_bucket_of(const struct front *front, const char *given);
/* A file's path may be so. */
#define FILES_PATH_RULE                                                                          \
    "file_path: must be 1 to 1024 bytes of UTF-8, without a leading or doubled /, without . or " \
    ".. "                                                                                        \
    "as a part, \\ and control characters"
bool files_path_good(const char *path);
/* Else the request was refused, 400. */
bool files_path(request_t *request, const char *path);
/* A media type as a header may carry it. */
bool files_type_good(const char *type);
/* A new task's id; false: the kernel gives no random bytes. */
bool files_new_id(char ret_id[UPLOAD_ID_SIZE]);
/* Of a file, for a day. Empty when it cannot be. */
void files_link(const struct front *front, const char *bucket, const char *path,
                char ret_url[OBJECTS_URL_MAX]);
