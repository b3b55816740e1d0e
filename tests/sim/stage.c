/* What may happen to one stage. */
#include "tests/sim/stage.h"

#include "common/status.h"

void stage_become(struct stage *stage, enum stage_state to)
{
    enum stage_state from = stage->state;
    stage->state = to;
    if (state_terminal((int)to))
        store.tally.ended[to]++;
    on_store_moved(stage, from);
}

struct slice stage_service(const struct stage *stage)
{
    return slice_make(stage->task, strcspn(stage->task, "."));
}

bool stage_held_by(const struct stage *stage, struct slice session)
{
    return stage->hold.held &&
           memcmp(stage->hold.session, session.data, sizeof stage->hold.session) == 0;
}

void stage_end(struct stage *stage, enum stage_state state)
{
    stage->hold = (struct hold){ 0 };
    stage_become(stage, state);
}

/* To the head of its queue. */
static void requeue(struct stage *stage)
{
    stage->hold = (struct hold){ 0 };
    stage->generation++;
    stage->place = --store.first_place;
    store.tally.requeues++;
    stage_become(stage, STATE_PENDING);
    on_store_work(stage_service(stage));
}

/* The session lost it. */
void stage_release(struct stage *stage, bool crashed)
{
    if (crashed) {
        stage->crashes++;
        store.tally.crashes++;
    }
    if (stage->hold.closed)
        stage_end(stage, STATE_FAILED);
    else if (stage->hold.cancelled)
        stage_end(stage, STATE_CANCELLED);
    else if (crashed && stage->crashes >= stage->crashes_max)
        stage_end(stage, STATE_QUARANTINED);
    else
        requeue(stage);
}

void stage_put_off(struct stage *stage, int64_t wait_ms)
{
    stage->hold = (struct hold){ 0 };
    stage->generation++;
    stage->due_ms = store_now() + wait_ms;
    stage_become(stage, STATE_SCHEDULED);
}

/* Not held under this token: written before under it, or somebody else's by now. */
static int late(const struct stage *stage, struct slice token)
{
    bool same = stage && memcmp(stage->token, token.data, sizeof stage->token) == 0;
    return same && state_terminal((int)stage->state) ? STATUS_OK : STATUS_STALE;
}

struct stage *stage_held(struct slice id, struct slice session, struct slice token, int *ret_status)
{
    struct stage *stage = store_find(id);
    if (stage && stage_held_by(stage, session) &&
        memcmp(stage->token, token.data, sizeof stage->token) == 0)
        return stage;
    *ret_status = late(stage, token);
    return NULL;
}
