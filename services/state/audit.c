#include "services/state/audit.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"
#include "services/state/audit_walk.h"
#include "services/state/reply.h"
#include "services/state/sid.h"
#include "services/state/state.h"

#include <sys/random.h>

enum {
    LOOK_MS = 1000, /* between two questions whether a pass is due */
    REST = 20,      /* a call is followed by a pause of so many times its length: 5 % of the time */
    REST_MOST_MS = 1000,
    RENEW_MS = 5000, /* the right to walk: asked for anew, well before another may */
    MS_NS = 1000000
};

enum step { STEP_IDLE, STEP_RENEW, STEP_WALK, STEP_FIX, STEP_DONE };

/* What audit_begin answers. */
enum { NOT_NOW, DUE, ASKED_FOR };
/* What audit_fix does. */
enum { FINE, PUT_BACK, ONE_LEFT, UNDECIDED };

struct audit {
    state_t *state;
    uv_timer_t timer;
    enum step step, then; /* then: after the right was renewed */
    char holder[SID_TEXT];
    marks_t *marks;
    struct walk walk;
    struct suspect suspect; /* being examined */
    uint64_t looked;
    int64_t renewed_ms, asked_ns;
    bool look_twice; /* an operator waits for it: what is amiss is looked at again at once */
};

static void on_time(uv_timer_t *timer);

static void wait(audit_t *self, int64_t ms)
{
    uv_update_time(self->timer.loop); /* else it would count from the turn's begin */
    uv_timer_start(&self->timer, on_time, (uint64_t)ms, 0);
}

static int64_t look_ms(const audit_t *self)
{
    const int64_t interval_ms = self->state->settings->audit_interval_ms;
    return interval_ms < LOOK_MS ? interval_ms : LOOK_MS;
}

static void give_up(audit_t *self)
{
    walk_clear(&self->walk);
    marks_begin(self->marks); /* gives the memory back */
    self->step = STEP_IDLE;
}

/* ---- what comes after what --------------------------------------------------------------------
 */

static enum step next_suspect(audit_t *self)
{
    if (marks_suspect(self->marks, &self->suspect))
        return STEP_FIX;
    if (marks_more(self->marks)) {
        walk_begin(&self->walk, self->marks);
        return STEP_WALK;
    }
    if (self->look_twice && marks_amiss(self->marks)) {
        self->look_twice = false;
        marks_begin(self->marks);
        walk_begin(&self->walk, self->marks);
        return STEP_WALK;
    }
    return STEP_DONE;
}

static void take_begun(audit_t *self, const redisReply *reply)
{
    const int64_t answer = reply_whole(reply);
    if (answer == NOT_NOW) {
        give_up(self);
        return;
    }
    self->renewed_ms = clock_ms();
    self->look_twice |= answer == ASKED_FOR;
    if (self->step == STEP_RENEW) {
        self->step = self->then;
        return;
    }
    marks_begin(self->marks);
    walk_begin(&self->walk, self->marks);
    self->step = STEP_WALK;
}

static void take_walked(audit_t *self, const redisReply *reply)
{
    int r = walk_take(&self->walk, reply);
    if (r) {
        log_event_seldom(LOG_LEVEL_ERROR, "audit_failed", "why=%s",
                         r < 0 ? strerror(-r) : "an answer of another shape");
        give_up(self);
    } else if (self->walk.step == WALK_OVER) {
        self->looked = self->walk.looked;
        walk_clear(&self->walk);
        self->step = next_suspect(self);
    }
}

static void take_fixed(audit_t *self, const redisReply *reply)
{
    static const char *const found[] = { [SEEN_UNHELD] = "held by none",
                                         [SEEN_STRAY] = "held though it does not wait",
                                         [SEEN_TWICE] = "held by two" };
    const int64_t did = reply_whole(reply);
    const struct suspect *suspect = &self->suspect;
    if (did == PUT_BACK || did == ONE_LEFT)
        log_event(LOG_LEVEL_WARN, "audit_repaired", "stage=%.*s found=%s did=%s",
                  SLICE_ARG(suspect->text), found[suspect->seen],
                  did == PUT_BACK ? "put back" : "freed of what was too much");
    else if (did == UNDECIDED)
        log_event_seldom(LOG_LEVEL_WARN, "audit_undecided", "stage=%.*s found=%s why=%s",
                         SLICE_ARG(suspect->text), found[suspect->seen],
                         "its queue is too long to be searched");
    self->step = next_suspect(self);
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static void fail(audit_t *self, int status, const redisReply *reply)
{
    if (status == STATUS_INTERNAL)
        log_event_seldom(LOG_LEVEL_ERROR, "audit_failed", "why=%s",
                         reply && reply->type == REDIS_REPLY_ERROR ? reply->str : "");
    give_up(self); /* the right to walk ends by itself */
}

static void take(audit_t *self, const redisReply *reply)
{
    switch (self->step) {
    case STEP_WALK:
        take_walked(self, reply);
        break;
    case STEP_FIX:
        take_fixed(self, reply);
        break;
    case STEP_DONE:
        self->look_twice = false;
        self->step = STEP_IDLE;
        break;
    case STEP_IDLE:
    case STEP_RENEW:
    default:
        take_begun(self, reply);
    }
}

static void on_answer(void *arg, int status, const redisReply *reply)
{
    audit_t *self = arg;
    int64_t rest_ms = REST * (clock_ns() - self->asked_ns) / MS_NS;
    if (status)
        fail(self, status, reply);
    else
        take(self, reply);
    if (self->state->stopping)
        return;
    const int64_t least_ms = self->step == STEP_IDLE ? look_ms(self) : 1;
    if (rest_ms > REST_MOST_MS)
        rest_ms = REST_MOST_MS;
    wait(self, rest_ms > least_ms ? rest_ms : least_ms);
}

static struct command *ask_begin(const audit_t *self, store_t *store)
{
    struct command *command = store_function(store, "audit_begin");
    command_text(command, self->holder);
    command_whole(command, (uint64_t)self->state->settings->audit_interval_ms);
    return command;
}

/* "<field> <generation>" as two arguments. */
static struct command *ask_fix(const audit_t *self, store_t *store)
{
    const struct slice text = self->suspect.text;
    const char *blank = memchr(text.data, ' ', text.size);
    const size_t size = blank ? (size_t)(blank - (const char *)text.data) : text.size;
    struct command *command = store_function(store, "audit_fix");
    command_arg(command, slice_make(text.data, size));
    command_arg(command, blank ? slice_make(blank + 1, text.size - size - 1) : SLICE("0"));
    command_whole(command, self->suspect.seen);
    return command;
}

static struct command *ask_done(const audit_t *self, store_t *store)
{
    struct command *command = store_function(store, "audit_done");
    command_text(command, self->holder);
    command_whole(command, self->looked);
    return command;
}

static struct command *next_call(audit_t *self)
{
    store_t *store = self->state->store;
    if (self->step != STEP_IDLE && clock_ms() - self->renewed_ms > RENEW_MS) {
        self->then = self->step;
        self->step = STEP_RENEW;
    }
    switch (self->step) {
    case STEP_WALK:
        return walk_ask(&self->walk, store);
    case STEP_FIX:
        return ask_fix(self, store);
    case STEP_DONE:
        return ask_done(self, store);
    case STEP_IDLE:
    case STEP_RENEW:
    default:
        return ask_begin(self, store);
    }
}

static void on_time(uv_timer_t *timer)
{
    audit_t *self = timer->data;
    state_t *state = self->state;
    if (state->stopping)
        return;
    self->asked_ns = clock_ns();
    if (store_ready(state->store) &&
        store_call(state->store, next_call(self), on_answer, self) == 0)
        return;
    give_up(self);
    wait(self, look_ms(self));
}

audit_t *audit_new(state_t *state)
{
    struct {
        uint8_t holder[WIRE_SESSION_SIZE];
        uint64_t seed;
    } random;
    audit_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    if (getrandom(&random, sizeof random, 0) == (ssize_t)sizeof random)
        self->marks = marks_new(MARKS_MAX, random.seed);
    if (!self->marks) {
        free(self);
        return NULL;
    }
    sid_text(slice_make(random.holder, sizeof random.holder), self->holder);
    self->state = state;
    uv_timer_init(program_loop(state->program), &self->timer);
    self->timer.data = self;
    wait(self, look_ms(self));
    return self;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void audit_destroy(audit_t **self_p)
{
    audit_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    walk_clear(&self->walk);
    marks_destroy(&self->marks);
    uv_close((uv_handle_t *)&self->timer, on_closed);
}
