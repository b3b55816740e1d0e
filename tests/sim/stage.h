#pragma once
/* What may happen to one stage of the store. */
#include "tests/sim/store.h"

struct slice stage_service(const struct stage *stage);
void stage_become(struct stage *stage, enum stage_state to);
/* Held by nobody from now on: at its end; waiting for its time; or in its queue again, unless it
 * was cancelled, closed, or lost too often. */
void stage_end(struct stage *stage, enum stage_state state);
void stage_put_off(struct stage *stage, int64_t wait_ms);
void stage_release(struct stage *stage, bool crashed);
bool stage_held_by(const struct stage *stage, struct slice session);
/* The stage when the session holds it under this token; else NULL, and STATUS_OK when it has ended
 * under it before, or STATUS_STALE. */
struct stage *stage_held(struct slice id, struct slice session, struct slice token,
                         int *ret_status);
/* Opened when it is none yet. */
struct lease *lease_open(struct slice session);
