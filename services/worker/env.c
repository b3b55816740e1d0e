#include "services/worker/env.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { ITEMS_MAX = 16 };

struct env {
    size_t count;
    char *items[ITEMS_MAX + 1];
};

static bool add(env_t *self, const char *name, const char *value)
{
    if (!value)
        return true;
    if (self->count == ITEMS_MAX || asprintf(&self->items[self->count], "%s=%s", name, value) < 0) {
        self->items[self->count] = NULL; /* asprintf leaves anything there */
        return false;
    }
    self->count++;
    return true;
}

env_t *env_new(const struct env_row *row)
{
    env_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    char attempt[16];
    (void)snprintf(attempt, sizeof attempt, "%u", row->attempt);
    const char *const items[][2] = {
        { "PATH", getenv("PATH") },
        { "HOME", getenv("HOME") },
        { "LANG", "C.UTF-8" },
        { "TMPDIR", row->work },
        { "GANTRY_TASK_ID", row->id },
        { "GANTRY_TASK_NAME", row->task },
        { "GANTRY_ATTEMPT", attempt },
        { "GANTRY_FOLDER", row->folder },
        { "GANTRY_WORK", row->work },
        { "GANTRY_FFMPEG", row->settings->worker_ffmpeg },
        { "GANTRY_FFPROBE", row->settings->worker_ffprobe },
    };
    bool good = true;
    for (size_t i = 0; good && i < sizeof items / sizeof items[0]; i++)
        good = add(self, items[i][0], items[i][1]);
    if (!good)
        env_destroy(&self);
    return self;
}

void env_destroy(env_t **self_p)
{
    env_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self);
}

char **env_list(env_t *self)
{
    return self->items;
}
