/* What system.cleanup does about records. */
#include "services/worker/nodes/cleanup.h"

#include <stdio.h>

enum { RECORDS_READ_MAX = 20000 };

/* The page after page of a walk; before_ms 0: all. */
static int walk(struct cleanup *self, uint64_t before_ms, cleanup_item_fn *each)
{
    char cursor[65] = "";
    int r = 0;
    do {
        const struct m_tasks asked = { .cursor = slice_of(cursor), .created_before_ms = before_ms };
        struct cleanup_page page;
        r = cleanup_ask_page(self, &asked, &page);
        if (r == 0)
            r = cleanup_each(self, &page, each);
        if (r == 0 && !slice_copy(page.page.cursor, cursor, sizeof cursor))
            cursor[0] = '\0';
        cleanup_page_clear(&page);
    } while (r == 0 && cursor[0]);
    return r;
}

/* ---- expired ones ------------------------------------------------------------------------------
 */

/* It goes only as it was seen: one that ran again since has ended later, or lives. */
static int expire(struct cleanup *self, const struct m_task_item *item)
{
    const int64_t before_ms = self->now_ms - self->retention_ms;
    if (self->retention_ms == 0 || item->created_ms == 0 || before_ms <= 0 ||
        item->created_ms >= (uint64_t)before_ms)
        return 0;
    if (!item->living)
        return cleanup_forget(self, &self->expired, item->id, item->ended_ms + 1);
    self->expired.found++;
    self->expired.kept++;
    return 0;
}

int cleanup_expired(struct cleanup *self)
{
    const int64_t before_ms = self->now_ms - self->retention_ms;
    if (self->retention_ms == 0 || before_ms <= 0)
        return 0;
    return walk(self, (uint64_t)before_ms, expire);
}

/* ---- records whose folder is gone --------------------------------------------------------------
 */

static int take_record(struct cleanup *self, const struct m_task_item *item)
{
    struct cleanup_step *step = &self->orphan_records;
    char id[TASK_ID_MAX + 1], folder[PATH_MAX];
    bool names = false;
    if (item->living || !slice_copy(item->id, id, sizeof id) || cleanup_has_folder(self, id))
        return 0;
    if (self->asked == RECORDS_READ_MAX) {
        (void)snprintf(step->why, sizeof step->why, "only %d records without a folder were read",
                       RECORDS_READ_MAX);
        return 0;
    }
    self->asked++;
    if (snprintf(folder, sizeof folder, "%s/%s", self->root, id) >= PATH_MAX)
        return 0;
    int r = cleanup_names_files(self, id, folder, &names);
    if (r || !names)
        return r;
    const bool old = item->ended_ms <= (uint64_t)(self->now_ms - self->grace_ms);
    /* Without any folder of a known task the disk may just not be mounted. */
    if (old && self->known)
        return cleanup_forget(self, step, item->id, item->ended_ms + 1);
    cleanup_found(step, id);
    step->kept++;
    if (old)
        (void)snprintf(step->why, sizeof step->why,
                       "no task has a folder in %s: is it mounted? The records were left",
                       self->root);
    return 0;
}

int cleanup_orphan_records(struct cleanup *self)
{
    return walk(self, 0, take_record);
}
