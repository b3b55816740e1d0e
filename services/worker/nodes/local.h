#pragma once
/* What an upload may remove of the task's own files once the store has them: nothing that came or
 * changed while it was sent. */
#include "services/worker/engine.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct local {
    char path[PATH_MAX];
    const char *name; /* beneath the task's folder */
    uint64_t stamp;
};

/* To be asked before it is read. 0; refuses DENIED what does not lie beneath the task's own folder
 * (but for the one that is for attempts); -errno. */
int local_look(engine_t *engine, const char *path, bool folder, struct local *ret_local);
/* 0; a retry when it is not what was looked at, and then it stays. */
int local_remove(engine_t *engine, const struct local *self);
