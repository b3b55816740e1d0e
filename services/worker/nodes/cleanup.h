#pragma once
/* What the files of system.cleanup share: one pass over records and folders. It removes only by
 * FORGET, one task's id at a time, and by what sweeps a task's own temporary files. */
#include "common/paths.h"
#include "common/settings.h"
#include "proto/gantry.h"
#include "proto/message.h"
#include "services/worker/engine.h"

enum { CLEANUP_NAMES = 5, CLEANUP_BATCH = 100, CLEANUP_WHY = 256, CLEANUP_AWAY_MAX = 5 };

/* What one step found. found = removed + kept + failed, unless it is a dry run. */
struct cleanup_step {
    const char *name;
    uint64_t found, removed, kept, failed;
    size_t names_count;
    char names[CLEANUP_NAMES + 1][NAME_MAX + 1]; /* the first few, and room for one */
    char why[CLEANUP_WHY];                       /* of the first that failed */
};

/* A slice of a root's folders while it is looked up. */
struct cleanup_batch {
    char ids[CLEANUP_BATCH][TASK_ID_MAX + 1];
    bool known[CLEANUP_BATCH];
    size_t count;
    int root; /* open */
    bool has_tmp;
};

/* Ids of folders without a record, or of records without a folder. */
struct cleanup_orphans {
    char (*ids)[TASK_ID_MAX + 1];
    size_t count, room;
};

struct cleanup {
    engine_t *engine;
    gantry_client_t *client;
    const char *root;
    char videos[PATH_MAX];
    char self[TASK_ID_MAX + 1]; /* our own task */
    bool dry_run, many;
    int64_t retention_ms, grace_ms, tmp_ms, now_ms;
    struct cleanup_step expired, temporary, trash, orphan_folders, orphan_records, strangers;
    struct cleanup_batch batch;
    struct cleanup_orphans orphans, lost; /* folders; records */
    uint64_t known;                       /* folders that have a record */
    uint64_t here;                        /* those of them beneath root */
    uint64_t asked;                       /* records that were read whole */
    uint32_t away; /* removals in a row that failed and may not the next time */
};

/* Keeps the name for the report. */
void cleanup_found(struct cleanup_step *step, const char *name);
void cleanup_failed(struct cleanup_step *step, const char *why);

/* cleanup_ask.c: the broker. */
struct cleanup_page {
    void *bytes; /* owned */
    size_t size;
    struct m_tasks_page page;
};
void cleanup_page_clear(struct cleanup_page *self);
/* Each of a page's items. */
typedef int cleanup_item_fn(struct cleanup *self, const struct m_task_item *item);
/* 0, or a status (refused or to be retried) or -errno. */
int cleanup_ask_page(struct cleanup *self, const struct m_tasks *asked,
                     struct cleanup_page *ret_page);
int cleanup_each(struct cleanup *self, const struct cleanup_page *page, cleanup_item_fn *each);
/* Which of these ids have a record, each told once. */
int cleanup_look_up(struct cleanup *self, const char (*ids)[TASK_ID_MAX + 1], size_t count,
                    cleanup_item_fn *each);
/* FORGET of a task that was looked at; ended_before_ms as FORGET takes it. What became of it is
 * counted in step. */
int cleanup_forget(struct cleanup *self, struct cleanup_step *step, struct slice id,
                   uint64_t ended_before_ms);
/* Whether outputs of the task name files beneath folder. */
int cleanup_names_files(struct cleanup *self, const char *id, const char *folder, bool *ret_names);

/* cleanup_folders.c: the disk. */
int cleanup_folders(struct cleanup *self);
int cleanup_orphans(struct cleanup *self);
int cleanup_trash(struct cleanup *self);
/* False only where it is certain that there is none. */
bool cleanup_has_folder(const struct cleanup *self, const char *id);
/* 0 or -ENOMEM. */
int cleanup_add_orphan(struct cleanup_orphans *self, const char *id);
/* Each id once: it may have two folders, and a walk may tell a task more than once. */
void cleanup_each_once(struct cleanup_orphans *self);

/* cleanup_records.c: the records. */
int cleanup_expired(struct cleanup *self);
int cleanup_orphan_records(struct cleanup *self);
