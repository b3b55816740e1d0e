#pragma once
/* The disk watch: how much is free on the file system of storage.root, and whether what needs space
 * is refused. It is looked at every two seconds, in a thread, for a network's file system may not
 * answer. Between the two marks all stays as it was. */
#include "common/storage/storage.h"
#include "services/state/refusal.h"

typedef struct state state_t;
typedef struct space space_t;

/* 0; -EINVAL (settings, logged) or -ENOMEM. */
int space_new(state_t *state, space_t **ret_space);
/* Looks no more; a look under way keeps the state. */
void space_stop(space_t *self);
void space_destroy(space_t **self_p);

/* Below the low mark, and not at the high one again. */
bool space_low(const space_t *self);
/* As last seen; false: not yet, or it cannot be seen. */
bool space_seen(const space_t *self, struct storage_space *ret_space);
/* So many were refused for it. */
uint64_t space_refused(const space_t *self);
void space_count_refused(space_t *self);

/* Fills a refusal when space is needed and there is none: its status, else 0. */
int space_check(const space_t *self, struct refusal *why);
/* Takes what a look saw; for tests too. True: it is now refused, or no longer. */
bool space_take(space_t *self, const struct storage_space *seen);
