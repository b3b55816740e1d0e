/* What waits for its time waits in Redis; here is one clock that asks for what is due. */
#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/state.h"

enum {
    FIRED_A_CALL = 256, /* so that Redis is not held up */
    HEAD = 3,           /* now_ms next_due_ms fired */
    SCHEDULE_FIELDS = 2,
    GATHER_MS = 5, /* between two calls, so that many timers cost few of them */
    NET_MS = 1000, /* asked at least so often, should a word of a new timer be lost */
    SOON_MS = 50   /* a schedule that is due stays so until it is fired, which takes a call */
};

static void on_due(uv_timer_t *timer);

/* due_ms by Redis' clock, 0 for none. */
static void arm(state_t *self, int64_t due_ms, int64_t least_ms)
{
    const int64_t left_ms = due_ms - (clock_ms() + self->redis_ahead_ms);
    int64_t wait_ms = due_ms && left_ms < NET_MS ? left_ms : NET_MS;
    if (wait_ms < least_ms)
        wait_ms = least_ms;
    uv_update_time(program_loop(self->program)); /* else it would count from the turn's begin */
    uv_timer_start(&self->due, on_due, (uint64_t)wait_ms, 0);
}

void timers_hear(state_t *self, int64_t due_ms)
{
    if (self->stopping)
        return;
    const bool earlier = !self->due_next_ms || due_ms < self->due_next_ms;
    if (earlier)
        self->due_next_ms = due_ms;
    if (earlier && !self->due_asked)
        arm(self, due_ms, 0);
}

/* Redis said what fired, and when the next is due. */
static void look_ahead(state_t *self, const redisReply *reply)
{
    const int64_t now_ms = reply_whole(reply->element[0]);
    const int64_t next_ms = reply_whole(reply->element[1]);
    self->redis_ahead_ms = now_ms - clock_ms();
    if (next_ms > 0 && (!self->due_next_ms || next_ms < self->due_next_ms))
        self->due_next_ms = next_ms; /* what was heard of meanwhile may be missing in the answer */
    for (size_t i = HEAD; i < reply->elements; i += SCHEDULE_FIELDS)
        cron_due(self, reply_text(reply->element[i]), reply_whole(reply->element[i + 1]), now_ms);
    if (reply_whole(reply->element[2]) >= FIRED_A_CALL)
        timers_now(self);
    else
        arm(self, self->due_next_ms, reply->elements > HEAD ? SOON_MS : GATHER_MS);
}

static void on_fired(void *arg, int status, const redisReply *reply)
{
    state_t *self = arg;
    self->due_asked = false;
    if (self->stopping)
        return;
    if (!status && (!reply_has(reply, HEAD) || (reply->elements - HEAD) % SCHEDULE_FIELDS))
        status = STATUS_INTERNAL;
    if (status == STATUS_INTERNAL)
        log_event_seldom(LOG_LEVEL_ERROR, "timers_failed", "why=%s",
                         reply && reply->type == REDIS_REPLY_ERROR ? reply->str : "");
    if (status)
        arm(self, 0, 0);
    else
        look_ahead(self, reply);
}

void timers_now(state_t *self)
{
    if (self->due_asked || self->stopping)
        return;
    struct command *command = store_function(self->store, "timers");
    command_whole(command, FIRED_A_CALL);
    self->due_next_ms = 0;
    self->due_asked = store_call(self->store, command, on_fired, self) == 0;
    if (!self->due_asked) /* Redis is away or busy */
        arm(self, 0, 0);
}

static void on_due(uv_timer_t *timer)
{
    timers_now(timer->data);
}
