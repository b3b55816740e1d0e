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

/* It goes only as it was seen: one that ran again since has ended later, or lives. Where nobody can
 * tell when it ended (an outside processor may write times in its own way), nothing of it may have
 * ended since it expired. */
static int expire(struct cleanup *self, const struct m_task_item *item)
{
    const int64_t before_ms = self->now_ms - self->retention_ms;
    if (self->retention_ms == 0 || item->created_ms == 0 || before_ms <= 0 ||
        item->created_ms >= (uint64_t)before_ms)
        return 0;
    if (!item->living)
        return cleanup_forget(self, &self->expired, item->id,
                              item->ended_ms ? item->ended_ms + 1 : (uint64_t)before_ms);
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
    if (item->ended_ms <= (uint64_t)(self->now_ms - self->grace_ms))
        return cleanup_add_orphan(&self->lost, id);
    cleanup_found(step, id);
    step->kept++;
    return 0;
}

/* Where more tasks lack their folder than have one, the disk may just not be mounted, and what runs
 * meanwhile makes a few folders all the same. Their objects would go too, and be the last copy. */
int cleanup_orphan_records(struct cleanup *self)
{
    struct cleanup_step *step = &self->orphan_records;
    int r = walk(self, 0, take_record);
    cleanup_each_once(&self->lost);
    const bool leave = !self->many && self->lost.count > self->here;
    const uint64_t before_ms = (uint64_t)(self->now_ms - self->grace_ms) + 1;
    for (size_t i = 0; i < self->lost.count && r == 0; i++) {
        if (!leave) {
            r = cleanup_forget(self, step, slice_of(self->lost.ids[i]), before_ms);
            continue;
        }
        cleanup_found(step, self->lost.ids[i]);
        step->kept++;
    }
    if (leave)
        (void)snprintf(step->why, sizeof step->why,
                       "%zu records without their folder, and %llu with one in %.100s: is it "
                       "mounted? All were left; many=true removes them",
                       self->lost.count, (unsigned long long)self->here, self->root);
    return r;
}
