#include "broker/janitor.h"

#include "broker/backend.h"
#include "broker/drain.h"
#include "broker/hello.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TICK_MS = 500, /* a state service that died is missed within this */
    TICK_LEAST_MS = 50,
    LOOK_MS = 1000,    /* queues filled behind our back, READYs that got lost */
    PATIENCE = 10,     /* clients and operators may be silent so many times longer than others */
    STALLED_TICKS = 4, /* ticks missed: nobody could be heard meanwhile */
};

struct janitor {
    uv_timer_t timer;
    struct broker *broker;
    int64_t tick_ms;
    int64_t ticked_ms;
    int64_t looked_ms;
};

/* Clients come and go; others are missed. */
static void log_silent(const struct broker *b, const struct peer *peer)
{
    char name[PEER_NAME];
    long long silent_ms = b->now_ms - peer->heard_ms;
    if (peer->role == PEER_WORKER)
        log_event_seldom(LOG_LEVEL_WARN, "worker_silent", "name=%s ms=%lld", hello_name(peer, name),
                         silent_ms);
    if (peer->role == PEER_STATE)
        log_event_seldom(LOG_LEVEL_WARN, "state_silent", "name=%s ms=%lld", hello_name(peer, name),
                         silent_ms);
}

static void forget_silent(struct broker *b, enum peer_role role, int64_t patience)
{
    int64_t before_ms = b->now_ms - b->settings->liveness_ms * patience;
    uint32_t cursor = 0;
    for (struct peer *peer; (peer = peers_silent(b->peers, role, before_ms, &cursor));) {
        log_silent(b, peer);
        hello_forget(b, &peer);
    }
}

/* Stopped, suspended or swapped out ourselves: others get the time to speak first. */
static void forgive_if_stalled(struct janitor *self)
{
    struct broker *b = self->broker;
    int64_t late_ms = b->now_ms - self->ticked_ms - self->tick_ms;
    self->ticked_ms = b->now_ms;
    if (late_ms < self->tick_ms * STALLED_TICKS)
        return;
    log_event(LOG_LEVEL_WARN, "stalled", "ms=%lld", (long long)late_ms);
    peers_forgive(b->peers, b->now_ms);
}

static void look(struct janitor *self)
{
    if (self->broker->now_ms - self->looked_ms < LOOK_MS)
        return;
    self->looked_ms = self->broker->now_ms;
    credit_look(self->broker->credit);
}

static void on_tick(uv_timer_t *timer)
{
    struct janitor *self = timer->data;
    struct broker *b = self->broker;
    b->now_ms = clock_ms();
    forgive_if_stalled(self);
    forget_silent(b, PEER_CLIENT, PATIENCE);
    forget_silent(b, PEER_WORKER, 1);
    forget_silent(b, PEER_STATE, 1);
    forget_silent(b, PEER_OPERATOR, PATIENCE);
    drain_tick(b);
    backend_ping(b);
    backend_expire(b);
    look(self);
    backend_turn(b);
}

/* Short enough to see silence in time. */
static int64_t tick_length(int64_t liveness_ms)
{
    if (liveness_ms / 4 < TICK_LEAST_MS)
        return TICK_LEAST_MS;
    return liveness_ms / 4 < TICK_MS ? liveness_ms / 4 : TICK_MS;
}

int janitor_start(struct broker *b)
{
    struct janitor *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->tick_ms = tick_length(b->settings->liveness_ms);
    self->broker = b;
    self->ticked_ms = self->looked_ms = b->now_ms;
    uv_timer_init(program_loop(b->program), &self->timer);
    self->timer.data = self;
    uv_timer_start(&self->timer, on_tick, (uint64_t)self->tick_ms, (uint64_t)self->tick_ms);
    b->janitor = self;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void janitor_stop(struct broker *b)
{
    if (b->janitor)
        uv_close((uv_handle_t *)&b->janitor->timer, on_closed);
    b->janitor = NULL;
}
