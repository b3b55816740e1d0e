#pragma once
/* What tasks and users have on the disk: measured in a thread, then told whose each is, then
 * settled, in a thread again. */
#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { USAGE_TEXT = 32 };
/* "812 B", "1.5 GiB"; answers text. */
const char *usage_text(uint64_t bytes, char text[USAGE_TEXT]);

struct usage_task {
    char *id;
    char *owner; /* NULL: nobody, or not known */
    uint64_t bytes, files;
};
struct usage_user {
    const char *owner; /* of one of the tasks */
    uint64_t bytes;
    uint64_t tasks;
};
/* Zeroed: nothing was measured. */
struct usage {
    struct usage_task *tasks; /* by id; once settled the largest first */
    size_t tasks_count, tasks_room;
    struct usage_user *users; /* by owner, once settled */
    size_t users_count;
    uint64_t bytes, files; /* of all tasks */
    uint64_t trash_bytes;
    bool partial;        /* there was too much to look at */
    int64_t took_ms;     /* to measure */
    int64_t measured_ms; /* wall clock */
    int64_t at_ms;       /* as clock_ms() counts */
};
void usage_clear(struct usage *self);

/* Each folder in root and in local/videos that has a task's name; those of one name are one task.
 * Ends after so many files or milliseconds with what it has. 0 (also when there is no such root) or
 * -errno; what was measured is the caller's in any case. */
struct usage_bounds {
    uint64_t files_max;
    int64_t ms_max;
};
int usage_measure(const char *root, const char *local, const struct usage_bounds *bounds,
                  struct usage *ret_usage);
/* Before it is settled. 0 or -ENOMEM. */
int usage_own(struct usage *self, struct slice id, struct slice owner);
/* 0 or -ENOMEM. */
int usage_settle(struct usage *self);

/* Of a settled one. */
uint64_t usage_of_user(const struct usage *self, struct slice owner);
/* The largest users first, at most count of them; answers how many. */
size_t usage_top_users(const struct usage *self, struct usage_user *ret_users, size_t count);
