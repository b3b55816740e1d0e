#include "tests/sim/check.h"

#include "tests/sim/people.h"

#include <assert.h>
#include <stdlib.h>

struct check check;

void check_clear(void)
{
    check = (struct check){ 0 };
}

struct order *order_new(void)
{
    assert(check.orders_count < ORDERS_MAX);
    struct order *order = &check.orders[check.orders_count];
    *order = (struct order){ 0 };
    (void)snprintf(order->id, sizeof order->id, "t%u", check.orders_count++);
    return order;
}

struct order *order_of(struct slice id)
{
    for (unsigned i = 0; i < check.orders_count; i++)
        if (slice_is(id, check.orders[i].id))
            return &check.orders[i];
    return NULL;
}

void check_outcome(struct order *order, const struct outcome *outcome)
{
    struct outcome *kept = &order->outcomes[order->outcomes_count++ % OUTCOMES_MAX];
    *kept = *outcome;
    kept->accepted = order->accepted;
    kept->life = outcome->worker->life;
}

static unsigned outcomes(const struct order *order)
{
    return order->outcomes_count < OUTCOMES_MAX ? order->outcomes_count : OUTCOMES_MAX;
}

void check_held(const struct order *order, struct slice token, int64_t sent_us)
{
    const struct stage *stage = store_find(slice_of(order->id));
    bool same = stage && memcmp(stage->token, token.data, sizeof stage->token) == 0;
    if (sent_us > order->moved_us && !same)
        fail("%s: runs on, although its worker was told that it is another's", order->id);
}

void check_kept(const struct order *order)
{
    for (unsigned i = order->lost_count; i < order->outcomes_count && !check.rolled_back; i++) {
        const struct outcome *outcome = &order->outcomes[i % OUTCOMES_MAX];
        if (outcome->final && outcome->worker->up && outcome->worker->life == outcome->life &&
            outcome->accepted == order->accepted &&
            worker_confirmed_until(outcome->worker) > world.now_us)
            fail("%s: runs again, and worker%u still has its result", order->id,
                 outcome->worker->number);
    }
}

void check_result(const struct stage *stage, const struct m_result *result)
{
    const struct order *order = order_of(slice_of(stage->id));
    assert(order); /* every stage is one */
    for (unsigned i = 0; i < outcomes(order); i++) {
        const struct outcome *outcome = &order->outcomes[i];
        if (memcmp(outcome->token, result->token.data, sizeof outcome->token) != 0)
            continue;
        if (!outcome->state || !slice_is(result->state, outcome->state))
            fail("%s: DONE says %.*s, and its job ended %s", order->id, SLICE_ARG(result->state),
                 outcome->state ? outcome->state : "by going back");
        return;
    }
    fail("%s: DONE says %.*s under a token that no job ended with", order->id,
         SLICE_ARG(result->state));
}

void on_store_moved(const struct stage *stage, enum stage_state from)
{
    struct order *order = order_of(slice_of(stage->id));
    bool was_final = state_terminal((int)from);
    assert(order);
    order->moved_us = world.now_us;
    note(state_text((int)stage->state), NULL, strtol(stage->id + 1, NULL, 10), stage->attempt);
    if (stage->crashes != order->crashes) /* its lease was lost, and with it what a worker made */
        order->lost_count = order->outcomes_count;
    order->crashes = stage->crashes;
    if (stage->accepted != order->accepted) {
        order->accepted = stage->accepted;
        if (stage->accepted > 1 && !was_final)
            fail("%s: accepted again before it ended", order->id);
        was_final = false;
    }
    if (was_final)
        fail("%s: was %s, is %s: an end is final", order->id, state_text((int)from),
             state_text((int)stage->state));
    if (state_terminal((int)stage->state))
        states_look();
    if (state_terminal((int)stage->state) && ++order->ended > order->accepted)
        fail("%s: ended %u times, accepted %u times", order->id, order->ended, order->accepted);
    if (stage->state == STATE_QUARANTINED && stage->crashes < stage->crashes_max)
        fail("%s: quarantined after %u crashes", order->id, stage->crashes);
}

void check_ledger(void)
{
    uint64_t sum = 0, alive = 0;
    for (int i = 0; i < STATE_END; i++)
        sum += store.tally.ended[i];
    for (unsigned i = 0; i < store.stages_count; i++) {
        const struct stage *stage = &store.stages[i];
        bool held = stage->state == STATE_RUNNING || stage->state == STATE_CANCELLING;
        alive += !state_terminal((int)stage->state);
        if (held != stage->hold.held)
            fail("%s: is %s, and %s", stage->id, state_text((int)stage->state),
                 stage->hold.held ? "held" : "held by nobody");
    }
    if (store.tally.accepted != sum + alive)
        fail("ledger: accepted %llu, ended %llu, others %llu",
             (unsigned long long)store.tally.accepted, (unsigned long long)sum,
             (unsigned long long)alive);
}

void check_told(const struct order *order, struct slice state)
{
    const struct stage *stage = store_find(slice_of(order->id));
    int told = state_by_text(state);
    if (!state_terminal(told))
        fail("%s: a wait was answered with %.*s", order->id, SLICE_ARG(state));
    else if (!check.rolled_back && order->accepted == 1 && (!stage || (int)stage->state != told))
        fail("%s: a wait was answered with %.*s, and it is %s", order->id, SLICE_ARG(state),
             stage ? state_text((int)stage->state) : "not there");
}

void check_cancelled(struct order *order, struct slice state)
{
    int told = state_by_text(state);
    if (told != STATE_CANCELLING && told != STATE_CANCELLED)
        fail("%s: a cancel was taken, and it is %.*s", order->id, SLICE_ARG(state));
    order->cancelled = true;
}

void check_rolled_back(void)
{
    check.rolled_back = true;
    for (unsigned i = 0; i < check.orders_count; i++) {
        struct order *order = &check.orders[i];
        const struct stage *stage = store_find(slice_of(order->id));
        order->moved_us = world.now_us;
        order->accepted = stage ? stage->accepted : 0;
        order->ended = !stage ? 0 : stage->accepted - !state_terminal((int)stage->state);
    }
}

bool check_settled(void)
{
    for (unsigned i = 0; i < store.stages_count; i++)
        if (!state_terminal((int)store.stages[i].state))
            return false;
    return true;
}

void check_note_open(void)
{
    for (unsigned i = 0; i < store.stages_count; i++)
        if (!state_terminal((int)store.stages[i].state))
            note(state_text((int)store.stages[i].state), NULL,
                 strtol(store.stages[i].id + 1, NULL, 10), store.stages[i].attempt);
}

static void check_order(const struct order *order)
{
    const struct stage *stage = store_find(slice_of(order->id));
    if (order->receipt && !stage && !check.rolled_back)
        fail("%s: accepted, and lost", order->id);
    if (stage && !state_terminal((int)stage->state))
        fail("%s: stuck as %s (attempt %u, generation %u)", order->id,
             state_text((int)stage->state), stage->attempt, stage->generation);
    if (order->ended != order->accepted && !check.rolled_back)
        fail("%s: accepted %u times, ended %u times", order->id, order->accepted, order->ended);
    if (order->cancelled && stage && !check.rolled_back && order->accepted == 1 &&
        stage->state != STATE_CANCELLED && !order->close_ms)
        fail("%s: its cancel was taken, and it is %s", order->id, state_text((int)stage->state));
    if (check.quiet && stage &&
        (stage->crashes || stage->attempt != order->runs ||
         (stage->state == STATE_COMPLETED && stage->attempt == 0)))
        fail("%s: nothing broke, and it has %u attempts, %u runs, %u crashes", order->id,
             stage->attempt, order->runs, stage->crashes);
}

void check_end(void)
{
    for (unsigned i = 0; i < check.orders_count; i++)
        check_order(&check.orders[i]);
    if (check.begun != check.answered)
        fail("%llu calls of clients were begun, %llu answered", (unsigned long long)check.begun,
             (unsigned long long)check.answered);
}
