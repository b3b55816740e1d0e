#include "tests/sim/stage.h"

#include "common/status.h"
#include "proto/codec.h"
#include "tests/sim/check.h"
#include "tests/sim/world.h"

#include <assert.h>

enum { LOWEST_FIRST_EVERY = 8 };

struct store store;
struct store_rules store_rules;

static struct store kept[2]; /* the older one first */

void store_clear(void)
{
    store = (struct store){ .swept_ms = 0 };
    kept[0] = kept[1] = store;
}

int64_t store_now(void)
{
    return world.now_us / 1000;
}

struct stage *store_find(struct slice id)
{
    for (unsigned i = 0; i < store.stages_count; i++)
        if (slice_is(id, store.stages[i].id))
            return &store.stages[i];
    return NULL;
}

/* ---- submit ---- */

static void take(struct stage *stage, const struct m_task *task, enum priority priority)
{
    memcpy(stage->submit, task->token.data, sizeof stage->submit);
    stage->priority = priority;
    stage->failures = stage->crashes = 0;
    stage->failures_max = task->failures_max ? task->failures_max : store_rules.failures_max;
    stage->crashes_max = task->crashes_max ? task->crashes_max : store_rules.crashes_max;
    stage->retry_ms = task->retry_ms;
    stage->checkpoint = 0;
    stage->hold = (struct hold){ 0 };
    stage->accepted++;
    stage->close_ms =
        task->schedule_to_close_ms ? store_now() + (int64_t)task->schedule_to_close_ms : 0;
    stage->start_ms =
        task->schedule_to_start_ms ? store_now() + (int64_t)task->schedule_to_start_ms : 0;
    store.tally.accepted++;
    stage->due_ms = store_now() + (int64_t)task->delay_ms;
    stage->place = ++store.last_place;
    stage_become(stage, task->delay_ms ? STATE_SCHEDULED : STATE_PENDING);
    if (!task->delay_ms)
        on_store_work(stage_service(stage));
}

static struct stage *add_stage(const struct m_task *task)
{
    assert(store.stages_count < STAGES_MAX);
    struct stage *stage = &store.stages[store.stages_count++];
    *stage = (struct stage){ .used = true, .created_ms = store_now() };
    assert(slice_copy(task->id, stage->id, sizeof stage->id));
    assert(slice_copy(task->task, stage->task, sizeof stage->task));
    return stage;
}

static uint32_t depth(struct slice service, enum priority priority)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < store.stages_count; i++) {
        const struct stage *stage = &store.stages[i];
        count += stage->state == STATE_PENDING && stage->priority == priority &&
                 slice_equal(stage_service(stage), service);
    }
    return count;
}

int store_submit(const struct m_task *task, enum priority priority, enum stage_state *ret_state,
                 enum reuse *ret_reuse)
{
    struct stage *stage = store_find(task->id);
    struct slice service = slice_make(task->task.data, strcspn(task->task.data, "."));
    bool same = stage && memcmp(stage->submit, task->token.data, sizeof stage->submit) == 0;
    *ret_reuse = REUSE_MISS;
    if (!same && (!stage || state_terminal((int)stage->state)) &&
        (!stage || stage->state != STATE_COMPLETED)) {
        if (depth(service, priority) >= store_rules.queue_max)
            return STATUS_BUSY;
        if (!stage)
            stage = add_stage(task);
        else
            stage->generation++;
        take(stage, task, priority);
    } else if (!same) {
        *ret_reuse = stage->state == STATE_COMPLETED ? REUSE_HIT : REUSE_WAIT;
    }
    *ret_state = stage->state;
    return STATUS_OK;
}

/* ---- claim ---- */

static struct stage *next_pending(struct slice service, enum priority priority)
{
    struct stage *next = NULL;
    for (unsigned i = 0; i < store.stages_count; i++) {
        struct stage *stage = &store.stages[i];
        if (stage->state == STATE_PENDING && stage->priority == priority &&
            slice_equal(stage_service(stage), service) && (!next || stage->place < next->place))
            next = stage;
    }
    return next;
}

static void lend(struct stage *stage, const struct m_claim *claim)
{
    stage->attempt++;
    for (size_t i = 0; i < sizeof stage->token; i++)
        stage->token[i] = (uint8_t)roll_bits();
    stage->hold = (struct hold){ .held = true, .seq = claim->seq };
    memcpy(stage->hold.session, claim->session.data, sizeof stage->hold.session);
    stage->start_ms = 0;
    stage_become(stage, STATE_RUNNING);
}

uint32_t store_claim(const struct m_claim *claim, struct slice service, uint32_t most,
                     struct stage *ret_stages[STAGES_MAX])
{
    static const enum priority highest[] = { PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW };
    bool lowest_first = ++store.claims % LOWEST_FIRST_EVERY == 0;
    uint32_t count = 0;
    for (int i = 0; i < PRIORITY_END; i++) {
        enum priority priority = highest[lowest_first ? PRIORITY_END - 1 - i : i];
        struct stage *stage;
        while (count < most && (stage = next_pending(service, priority))) {
            lend(stage, claim);
            ret_stages[count++] = stage;
        }
    }
    if (count)
        (void)lease_open(claim->session);
    return count;
}

static int64_t back_off(const struct stage *stage)
{
    int64_t wait = stage->retry_ms;
    for (uint32_t i = 1; i < stage->failures && wait < store_rules.retry_cap_ms; i++)
        wait *= 2;
    return wait < store_rules.retry_cap_ms ? wait : store_rules.retry_cap_ms;
}

static void retry(struct stage *stage, const struct m_result *result)
{
    stage->failures++;
    if (stage->failures >= stage->failures_max) {
        stage_end(stage, STATE_FAILED);
        return;
    }
    store.tally.retries++;
    stage_put_off(stage,
                  result->retry_after_ms ? (int64_t)result->retry_after_ms : back_off(stage));
}

static void keep_checkpoint(struct stage *stage, struct slice checkpoint)
{
    uint64_t whole;
    if (checkpoint.size && codec_whole(checkpoint, &whole))
        stage->checkpoint = (uint8_t)whole;
}

int store_finish(const struct m_result *result)
{
    int status = STATUS_OK;
    struct stage *stage = stage_held(result->id, result->session, result->token, &status);
    if (!stage)
        return status;
    check_result(stage, result);
    keep_checkpoint(stage, result->checkpoint);
    if (stage->hold.closed)
        stage_end(stage, STATE_FAILED);
    else if (stage->hold.cancelled)
        stage_end(stage, STATE_CANCELLED);
    else if (slice_is(result->state, "retry"))
        retry(stage, result);
    else if (slice_is(result->state, "snoozed"))
        stage_put_off(stage, (int64_t)result->retry_after_ms);
    else
        stage_end(stage, (enum stage_state)state_by_text(result->state));
    return STATUS_OK;
}

int store_give_back(const struct m_handout *handout)
{
    int status = STATUS_OK;
    struct stage *stage = stage_held(handout->id, handout->session, handout->token, &status);
    if (!stage)
        return STATUS_STALE;
    keep_checkpoint(stage, handout->checkpoint);
    stage_release(stage, false);
    return STATUS_OK;
}

struct stage *store_cancel(struct slice id)
{
    struct stage *stage = store_find(id);
    if (!stage || state_terminal((int)stage->state))
        return stage;
    if (!stage->hold.held) {
        stage_become(stage, STATE_CANCELLED);
    } else if (!stage->hold.cancelled) {
        stage->hold.cancelled = true;
        stage_become(stage, STATE_CANCELLING);
    }
    return stage;
}

/* ---- time ---- */

static void run_out(struct stage *stage)
{
    stage->close_ms = 0;
    if (!stage->hold.held) {
        stage_end(stage, STATE_FAILED);
        return;
    }
    stage->hold.closed = true;
    if (stage->state == STATE_RUNNING)
        stage_become(stage, STATE_CANCELLING);
}

static int64_t fire(struct stage *stage, int64_t now)
{
    if (state_terminal((int)stage->state))
        return INT64_MAX;
    if (stage->close_ms && stage->close_ms <= now)
        run_out(stage);
    else if (stage->start_ms && stage->start_ms <= now && !stage->hold.held)
        stage_end(stage, STATE_FAILED);
    if (stage->state == STATE_SCHEDULED && stage->due_ms <= now) {
        stage->place = ++store.last_place;
        stage_become(stage, STATE_PENDING);
        on_store_work(stage_service(stage));
    }
    int64_t due = stage->state == STATE_SCHEDULED ? stage->due_ms : INT64_MAX;
    if (!state_terminal((int)stage->state) && stage->close_ms && stage->close_ms < due)
        due = stage->close_ms;
    if (stage->start_ms && !stage->hold.held && stage->start_ms < due)
        due = stage->start_ms;
    return due;
}

int64_t store_timers(void)
{
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < store.stages_count; i++) {
        int64_t next = fire(&store.stages[i], store_now());
        due = next < due ? next : due;
    }
    return due;
}

/* ---- fail-over ---- */

void store_keep(void)
{
    kept[0] = kept[1];
    kept[1] = store;
}

void store_roll_back(void)
{
    store = kept[0];
    kept[1] = store;
}
