#pragma once
/* What tasks and users have on the disk, as it was last measured; DISK tells it. */
#include "services/state/refusal.h"
#include "services/state/state.h"

/* NULL when out of memory. */
disk_t *disk_new(state_t *state);
/* Nobody waits any more. */
void disk_stop(disk_t *self);
void disk_destroy(disk_t **self_p);

/* Measures anew when quota.user_bytes is set, and a minute is over. */
void disk_tick(disk_t *self);
/* Fills a refusal when the folders of this owner's tasks are over quota.user_bytes: its status,
 * else 0. */
int disk_check_user(const disk_t *self, struct slice owner, struct refusal *why);
