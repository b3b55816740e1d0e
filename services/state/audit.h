#pragma once
/* The audit: looks, a slice at a time, whether every stage that has not ended is held by exactly
 * one, and has those repaired that are not. One state service at a time walks; Redis says which. */
#include "services/state/ask.h"

typedef struct audit audit_t;

/* NULL when out of memory. */
audit_t *audit_new(state_t *state);
/* The store is destroyed by then, so that no call is under way. */
void audit_destroy(audit_t **self_p);
