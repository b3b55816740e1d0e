#pragma once
/* The file of a created task: taken over into {storage.local}/videos/{id}/original.mp4, or given
 * back. Knows no Redis. Its calls may block: for a thread. */
#include "services/state/refusal.h"

#include <limits.h>
#include <stdbool.h>

enum { VIDEO_ID_TEXT = 37 };

struct video {
    const char *local, *roots; /* storage.local, storage.input_roots */
    struct slice given;        /* temp_file_path; borrowed, as the two */
    bool again;                /* an earlier call may have begun with this id */
    char id[VIDEO_ID_TEXT];
    int folder;           /* its folder, locked; -1 for none */
    int above;            /* the folder that it was in; -1 for none */
    bool moved;           /* by this call */
    char from[PATH_MAX];  /* where it was, free of links; "" unless it was there */
    char place[PATH_MAX]; /* where it is: absolute */
};

/* Of a token of 16 bytes: its UUID of version 4. */
void video_id(const unsigned char token[16], char ret_id[VIDEO_ID_TEXT]);

/* 0: it is in its place, by this call or (again) by an earlier one, and nobody else works at this
 * id until video_close(). Else nothing was made, and why says it: INVALID, NOT_FOUND, DENIED of
 * temp_file_path; BUSY (the same call is under way); UNAVAILABLE (no room); INTERNAL. */
int video_take(struct video *self, struct refusal *why);
/* Undoes it: what this call moved goes back where it was, unless something is there by now, and the
 * folder goes. 0 or -errno: the file is where it is. */
int video_give_back(struct video *self);
/* A zeroed video needs folder and above = -1; again is harmless. */
void video_close(struct video *self);
