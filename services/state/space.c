#include "services/state/space.h"

#include "common/log.h"
#include "common/status.h"
#include "common/storage/storage_settings.h"
#include "services/state/state.h"
#include "services/state/usage.h"

#include <errno.h>
#include <stdlib.h>

enum { LOOK_MS = 2000, RETRY_DISK_MS = 10000 };

struct space {
    uv_timer_t timer;
    uv_work_t work;
    state_t *state;
    bool looking;
    struct storage_space found; /* by the look under way */
    int result;
    bool seen;
    struct storage_space last;
    bool low;
    uint64_t refused;
};

bool space_low(const space_t *self)
{
    return self->low;
}

bool space_seen(const space_t *self, struct storage_space *ret_space)
{
    if (self->seen)
        *ret_space = self->last;
    return self->seen;
}

uint64_t space_refused(const space_t *self)
{
    return self->refused;
}

void space_count_refused(space_t *self)
{
    self->refused++;
}

int space_check(const space_t *self, struct refusal *why)
{
    const struct settings *settings = self->state->settings;
    char available[USAGE_TEXT], low[USAGE_TEXT], high[USAGE_TEXT];
    if (!self->low)
        return 0;
    why->scope = "disk";
    why->limit = (uint64_t)settings->storage_low_bytes;
    why->current = self->last.available;
    why->retry_after_ms = RETRY_DISK_MS;
    return refusal_say(
        why, STATUS_BUSY, NULL,
        "the shared disk has %s free and went below %s: what needs space is taken again at %s",
        usage_text(why->current, available), usage_text(why->limit, low),
        usage_text((uint64_t)settings->storage_high_bytes, high));
}

bool space_take(space_t *self, const struct storage_space *seen)
{
    const struct settings *settings = self->state->settings;
    const bool was = self->low;
    self->seen = true;
    self->last = *seen;
    if (seen->available < (uint64_t)settings->storage_low_bytes)
        self->low = true;
    else if (seen->available >= (uint64_t)settings->storage_high_bytes)
        self->low = false;
    return self->low != was;
}

static void tell(const space_t *self)
{
    const struct settings *settings = self->state->settings;
    log_event(self->low ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, self->low ? "disk_low" : "disk_fine",
              "root=%s free_bytes=%llu total_bytes=%llu low_bytes=%lld high_bytes=%lld "
              "refused=%llu",
              settings->storage_root, (unsigned long long)self->last.available,
              (unsigned long long)self->last.total, (long long)settings->storage_low_bytes,
              (long long)settings->storage_high_bytes, (unsigned long long)self->refused);
}

static void look(uv_work_t *work)
{
    space_t *self = work->data;
    self->result = storage_space(self->state->settings->storage_root, &self->found);
}

static void on_looked(uv_work_t *work, int status)
{
    space_t *self = work->data;
    state_t *state = self->state;
    self->looking = false;
    if (status == 0 && self->result)
        log_event_seldom(LOG_LEVEL_WARN, "disk_unseen", "root=%s why=%s",
                         state->settings->storage_root, strerror(-self->result));
    else if (status == 0 && space_take(self, &self->found))
        tell(self);
    state_space_changed(state);
    state_let_go(state);
}

static void on_time(uv_timer_t *timer)
{
    space_t *self = timer->data;
    if (self->looking || self->state->stopping) /* it hangs: another thread would hang too */
        return;
    if (uv_queue_work(program_loop(self->state->program), &self->work, look, on_looked))
        return;
    self->looking = true;
    state_keep(self->state);
}

/* The folder of created tasks' videos would be a task's folder, or have such: its removal is a
 * FORGET or a clean-up away. */
static int check_folders(const struct settings *settings)
{
    char videos[PATH_MAX];
    if (snprintf(videos, sizeof videos, "%s/videos", settings->storage_local) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (storage_apart(settings->storage_root, videos) != STATUS_CONFLICT)
        return 0;
    log_event(LOG_LEVEL_ERROR, "start_failed",
              "setting=storage.local videos=%s root=%s why=\"both are one, or one lies in the "
              "other: give storage.local a folder of its own\"",
              videos, settings->storage_root);
    return -EINVAL;
}

static int check(const struct settings *settings)
{
    int r = storage_check_marks(settings);
    if (r == 0)
        r = storage_check_root(settings, false);
    return r ? r : check_folders(settings);
}

int space_new(state_t *state, space_t **ret_space)
{
    int r = check(state->settings);
    if (r)
        return r;
    space_t *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->state = state;
    self->timer.data = self->work.data = self;
    uv_timer_init(program_loop(state->program), &self->timer);
    uv_timer_start(&self->timer, on_time, 0, LOOK_MS);
    state_keep(state);
    *ret_space = self;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    const space_t *self = handle->data;
    state_let_go(self->state);
}

void space_stop(space_t *self)
{
    if (self)
        uv_close((uv_handle_t *)&self->timer, on_closed);
}

void space_destroy(space_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}
