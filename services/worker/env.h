#pragma once
/* The environment of an engine: what docs/nodes.md promises, and nothing else of the worker's. */
#include "common/settings.h"

typedef struct env env_t;

struct env_row {
    const struct settings *settings;
    const char *id;
    const char *task;
    uint32_t attempt;
    const char *folder; /* the task's */
    const char *work;   /* the attempt's */
};

/* NULL when out of memory. */
env_t *env_new(const struct env_row *row);
void env_destroy(env_t **self_p);
/* Borrowed; ends with NULL. */
char **env_list(env_t *self);
