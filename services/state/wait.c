/* WAIT: parked first and looked up then, so that no end falls in between. A look reads a task's
 * record and answers whoever waits for what it shows; ends that events tell of cause looks, and so
 * does the return of Redis. */
#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "services/state/ref.h"
#include "services/state/stages.h"
#include "services/state/state.h"

#include <errno.h>

enum { WAIT_MOST_MS = 60000, EXPIRY_MS = 100, LOOKS_A_CALL = 64, RETRY_WAITS_MS = 1000 };

/* What a wait's note says. While a look at its task is on its way, the end that an event tells of
 * needs no look of its own, unless this one turns out not to show it: results and their events come
 * at the same time, and a look goes out right behind the result. */
enum note { NOTE_LOOKING, NOTE_LOOK_AGAIN, NOTE_QUIET, NOTE_EXTERNAL };

struct look {
    uint8_t size;
    bool holders; /* stages that run shall read so: an answer depends on it */
    char id[TASK_ID_MAX];
};

/* Looks to be made, as a ring. It has room for one of every wait, so that looking for all is always
 * possible once it is empty. */
struct looks {
    size_t room, head, queued;
    bool all; /* everything is to be looked up as soon as that is possible */
    struct look ring[];
};

/* A call under way, with the looks it makes in the order of its reply. */
struct look_call {
    state_t *state;
    bool holders;
    uint32_t count;
    struct look looks[LOOKS_A_CALL];
};

int looks_new(state_t *self)
{
    const size_t room = (size_t)self->settings->state_waits_max;
    self->looks = calloc(1, sizeof *self->looks + room * sizeof(struct look));
    if (!self->looks)
        return -ENOMEM;
    self->looks->room = room;
    return 0;
}

static void drop(void *arg, wait_t *wait)
{
    waits_t *waits = arg;
    ask_t *ask = wait_arg(wait);
    waits_remove(waits, wait);
    ask_drop(&ask);
}

void looks_destroy(state_t *self)
{
    if (self->waits)
        waits_each(self->waits, drop, self->waits);
    free(self->looks);
    self->looks = NULL;
}

static struct slice look_id(const struct look *look)
{
    return slice_make(look->id, look->size);
}

/* One of the latest that are queued would see the same. Many who wait for one task would else each
 * cause a look that is shown to all of them. */
static bool is_queued(const struct looks *looks, struct slice id, bool holders)
{
    const size_t some = looks->queued < LOOKS_A_CALL ? looks->queued : LOOKS_A_CALL;
    for (size_t i = 1; i <= some; i++) {
        const struct look *look = &looks->ring[(looks->head + looks->queued - i) % looks->room];
        if (look->holders == holders && slice_equal(look_id(look), id))
            return true;
    }
    return false;
}

static void queue_look(state_t *self, struct slice id, bool holders)
{
    struct looks *looks = self->looks;
    if (is_queued(looks, id, holders))
        return;
    if (looks->queued == looks->room) {
        looks->all = true;
        return;
    }
    struct look *look = &looks->ring[(looks->head + looks->queued++) % looks->room];
    look->holders = holders;
    look->size = (uint8_t)id.size;
    memcpy(look->id, id.data, id.size);
}

static void look_at(void *arg, wait_t *wait)
{
    *wait_note(wait) = NOTE_LOOKING;
    queue_look(arg, wait_id(wait), false);
}

void looks_ending(state_t *self, struct slice id)
{
    if (waits_count(self->waits))
        waits_find(self->waits, id, look_at, self);
}

static void meet_end(void *arg, wait_t *wait)
{
    if (*wait_note(wait) == NOTE_QUIET || *wait_note(wait) == NOTE_EXTERNAL)
        look_at(arg, wait);
    else
        *wait_note(wait) = NOTE_LOOK_AGAIN;
}

void looks_ended(state_t *self, struct slice id)
{
    if (waits_count(self->waits))
        waits_find(self->waits, id, meet_end, self);
}

static void look_outside(void *arg, wait_t *wait)
{
    if (*wait_note(wait) == NOTE_EXTERNAL)
        look_at(arg, wait);
}

void looks_external(state_t *self)
{
    if (!self->external_waits)
        return;
    self->external_waits = false;
    waits_each(self->waits, look_outside, self);
    looks_flush(self);
}

void looks_all(state_t *self)
{
    self->looks->all = true;
    looks_flush(self);
}

/* What a look saw, shown to a wait. */
struct sight {
    state_t *state;
    const struct stages *stages;
    bool holders;
    bool again; /* somebody's answer needs the holders */
    int status; /* not 0: the look failed so */
    const redisReply *reply;
};

static void tell(struct sight *sight, wait_t *wait, bool found)
{
    ask_t *ask = wait_arg(wait);
    struct m_ref ref;
    (void)message_decode(&m_ref_layout, ask_body(ask), &ref, NULL); /* wait_asked has seen it */
    waits_remove(sight->state->waits, wait);
    if (sight->status)
        ask_fail(&ask, sight->status, sight->reply);
    else if (found)
        ref_tell(&ask, ref.id, sight->stages);
    else
        ref_missing(&ask, &ref);
}

static void show_nothing(struct sight *sight, wait_t *wait)
{
    const bool external = stages_external(sight->stages);
    if (*wait_note(wait) == NOTE_LOOK_AGAIN)
        look_at(sight->state, wait);
    else
        *wait_note(wait) = external ? NOTE_EXTERNAL : NOTE_QUIET;
    sight->state->external_waits |= external;
}

static void show(void *arg, wait_t *wait)
{
    struct sight *sight = arg;
    const struct slice task = wait_task(wait);
    const struct stage *stage = task.size ? stages_find(sight->stages, task) : NULL;
    const bool found = task.size ? stage != NULL : sight->stages->count > 0;
    const bool ended = stage ? stage_ended(stage) : stages_ended(sight->stages);
    if (sight->status || !found)
        tell(sight, wait, false);
    else if (ended && !sight->holders && !stages_ended(sight->stages))
        sight->again = true;
    else if (ended)
        tell(sight, wait, true);
    else
        show_nothing(sight, wait);
}

static void see(state_t *self, const struct look *look, const struct look_call *call, int status,
                const redisReply *reply, size_t *at)
{
    scoped_in(stages) stages = { 0 };
    if (!status)
        status = stages_read(&stages, reply, at);
    struct sight sight = {
        .state = self, .stages = &stages, .holders = call->holders, .status = status, .reply = reply
    };
    waits_find(self->waits, look_id(look), show, &sight);
    if (sight.again)
        queue_look(self, look_id(look), true);
}

static void on_seen(void *arg, int status, const redisReply *reply)
{
    struct look_call *call = arg;
    state_t *self = call->state;
    size_t at = 0;
    if (status == STATUS_UNAVAILABLE)
        self->looks->all = true; /* the timer comes back to it; those who wait have time */
    for (uint32_t i = 0; i < call->count && status != STATUS_UNAVAILABLE; i++)
        see(self, &call->looks[i], call, status, reply, &at);
    free(call);
    if (status != STATUS_UNAVAILABLE)
        looks_flush(self);
}

/* Takes the looks of one kind that are queued first. NULL when out of memory. */
static struct look_call *next_call(state_t *self, struct command *command)
{
    struct looks *looks = self->looks;
    struct look_call *call = malloc(sizeof *call);
    if (!call)
        return NULL;
    call->state = self;
    call->holders = looks->ring[looks->head].holders;
    call->count = 0;
    command_whole(command, call->holders ? 1 : 0);
    while (call->count < LOOKS_A_CALL && looks->queued) {
        const struct look *look = &looks->ring[looks->head];
        if (look->holders != call->holders)
            break;
        command_arg(command, look_id(look));
        command_arg(command, (struct slice){ 0 });
        call->looks[call->count++] = *look;
        looks->queued--;
        looks->head = looks->queued ? (looks->head + 1) % looks->room : 0;
    }
    return call;
}

void looks_flush(state_t *self)
{
    struct looks *looks = self->looks;
    if (self->stopping || !store_ready(self->store))
        return;
    if (looks->all && !looks->queued) {
        looks->all = false;
        waits_each(self->waits, look_at, self);
    }
    while (looks->queued) {
        struct command *command = store_function(self->store, "get");
        struct look_call *call = next_call(self, command);
        if (!call)
            return;
        if (large_call(self->ends, command, on_seen, call)) {
            looks->all = true; /* the timer comes back to it */
            free(call);
            return;
        }
    }
}

static void on_expired(void *arg, wait_t *wait)
{
    state_t *self = arg;
    ask_t *ask = wait_arg(wait);
    struct refusal why = { 0 };
    refusal_say(&why, STATUS_TIMEOUT, NULL, "it has not ended yet; ask again");
    waits_remove(self->waits, wait);
    ask_refuse(&ask, &why);
}

static void on_expiry(uv_timer_t *timer)
{
    state_t *self = timer->data;
    waits_tick(self->waits, clock_ms(), on_expired, self);
    subs_expire(self, clock_ms());
    looks_flush(self);
    if (waits_count(self->waits) == 0 && waits_count(self->subs) == 0)
        uv_timer_stop(timer);
}

void expiry_start(state_t *self)
{
    if (!uv_is_active((uv_handle_t *)&self->expiry))
        uv_timer_start(&self->expiry, on_expiry, EXPIRY_MS, EXPIRY_MS);
}

bool waits_full(const state_t *self, struct refusal *why)
{
    const size_t count = waits_count(self->waits) + self->subs_count;
    if (count < (size_t)self->settings->state_waits_max)
        return false;
    *why = (struct refusal){ .scope = "waits", .retry_after_ms = RETRY_WAITS_MS };
    why->limit = (uint64_t)self->settings->state_waits_max;
    why->current = count;
    refusal_say(why, STATUS_BUSY, NULL, "too many wait already");
    return true;
}

struct parting {
    state_t *state;
    const struct broker *broker;
};

static void drop_if_asked_by(void *arg, wait_t *wait)
{
    const struct parting *parting = arg;
    const ask_t *ask = wait_arg(wait);
    if (ask->broker == parting->broker)
        drop(parting->state->waits, wait);
}

void waits_forget(state_t *self, const struct broker *broker)
{
    struct parting parting = { self, broker };
    waits_each(self->waits, drop_if_asked_by, &parting);
    subs_forget(self, broker);
}

void wait_asked(state_t *self, ask_t *ask)
{
    struct m_wait said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_wait_layout, &said))
        return;
    const struct m_ref ref = { .id = said.id, .task = said.task };
    if (ref_check(&ref, &why) || waits_full(self, &why)) {
        ask_refuse(&ask, &why);
        return;
    }
    if (!store_ready(self->store)) {
        ask_fail(&ask, STATUS_UNAVAILABLE, NULL);
        return;
    }
    const int64_t most =
        said.timeout_ms && said.timeout_ms < WAIT_MOST_MS ? said.timeout_ms : WAIT_MOST_MS;
    int r = waits_park(self->waits, said.id, said.task, clock_ms() + most, ask);
    if (r) {
        ask_fail(&ask, r, NULL);
        return;
    }
    queue_look(self, said.id, false); /* asked for at the end of the turn */
    expiry_start(self);
}
