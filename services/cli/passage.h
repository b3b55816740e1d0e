#pragma once
/* The inside of migration.h: one task on its way, and what is known of all. */
#include "services/cli/migration.h"

struct migration {
    const struct migration_row *row;
    int from, to;  /* the roots, as going forth means them */
    int manifests; /* -1: there is no such folder (of a dry run) */
    struct migration_counts counts;
    json_t *notes;
};

/* Moves a task's folder, or looks what would be moved. 0, or -errno of what concerns all: no
 * memory, no space. */
int passage_run(struct migration *self, const char *id);
/* Counts and tells something that is not moved, nor is meant to be; path "" is all of it. */
void passage_leave(struct migration *self, const char *id, const char *path, const char *why);
