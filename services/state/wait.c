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

enum {
    WAIT_MOST_MS = 60000,
    EXPIRY_MS = 100,
    LOOKS_A_CALL = 64,
    LOOKS_MAX = 65536, /* queued; one more, and all that waits is looked up later */
    LOOKS_KEPT = 1024,
    RETRY_WAITS_MS = 1000
};

struct look {
    struct look *next;
    uint8_t size;
    bool holders; /* stages that run shall read so: an answer depends on it */
    char id[TASK_ID_MAX];
};

struct looks {
    struct look *first;
    struct look **end; /* where the next one goes */
    struct look *spare;
    size_t queued, spares;
    bool all; /* everything is to be looked up once calls are possible */
};

/* A call under way, with the looks it makes in the order of its reply. */
struct look_call {
    state_t *state;
    struct look *first;
    bool holders;
};

int looks_new(state_t *self)
{
    self->looks = calloc(1, sizeof *self->looks);
    if (!self->looks)
        return -ENOMEM;
    self->looks->end = &self->looks->first;
    return 0;
}

static void look_give(struct looks *looks, struct look *look)
{
    if (looks->spares >= LOOKS_KEPT) {
        free(look);
        return;
    }
    look->next = looks->spare;
    looks->spare = look;
    looks->spares++;
}

static struct look *look_take(struct looks *looks)
{
    struct look *look = looks->spare;
    if (!look)
        return malloc(sizeof *look);
    looks->spare = look->next;
    looks->spares--;
    return look;
}

static void free_looks(struct look *look)
{
    while (look) {
        struct look *next = look->next;
        free(look);
        look = next;
    }
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
    if (!self->looks)
        return;
    free_looks(self->looks->first);
    free_looks(self->looks->spare);
    free(self->looks);
    self->looks = NULL;
}

static void queue_look(state_t *self, struct slice id, bool holders)
{
    struct looks *looks = self->looks;
    struct look *look = looks->queued < LOOKS_MAX ? look_take(looks) : NULL;
    if (!look) {
        looks->all = true;
        return;
    }
    look->next = NULL;
    look->holders = holders;
    look->size = (uint8_t)id.size;
    memcpy(look->id, id.data, id.size);
    *looks->end = look;
    looks->end = &look->next;
    looks->queued++;
}

static struct slice look_id(const struct look *look)
{
    return slice_make(look->id, look->size);
}

void looks_ended(state_t *self, struct slice id)
{
    if (waits_have(self->waits, id))
        queue_look(self, id, false);
}

static void queue_wait(void *arg, wait_t *wait)
{
    looks_ended(arg, wait_id(wait));
}

void looks_all(state_t *self)
{
    self->looks->all = false;
    waits_each(self->waits, queue_wait, self);
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
        self->looks->all = true; /* those who wait have time */
    for (struct look *look = call->first, *next; look; look = next) {
        next = look->next;
        if (status != STATUS_UNAVAILABLE)
            see(self, look, call, status, reply, &at);
        look_give(self->looks, look);
    }
    free(call);
    looks_flush(self);
}

/* Takes the looks of one kind that are queued first. */
static struct look_call *next_call(state_t *self, struct command *command)
{
    struct looks *looks = self->looks;
    struct look_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->state = self;
    call->holders = looks->first->holders;
    command_whole(command, call->holders ? 1 : 0);
    struct look **end = &call->first;
    for (int n = 0; n < LOOKS_A_CALL && looks->first && looks->first->holders == call->holders;
         n++) {
        struct look *look = looks->first;
        looks->first = look->next;
        looks->queued--;
        command_arg(command, look_id(look));
        command_arg(command, (struct slice){ 0 });
        look->next = NULL;
        *end = look;
        end = &look->next;
    }
    if (!looks->first)
        looks->end = &looks->first;
    return call;
}

void looks_flush(state_t *self)
{
    if (self->stopping || !store_ready(self->store))
        return;
    if (self->looks->all)
        looks_all(self);
    while (self->looks->first) {
        struct command *command = store_function(self->store, "get");
        struct look_call *call = next_call(self, command);
        if (!call)
            return;
        if (store_call(self->store, command, on_seen, call)) {
            self->looks->all = true; /* the timer comes back to it */
            free_looks(call->first);
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
    looks_flush(self);
    if (waits_count(self->waits) == 0)
        uv_timer_stop(timer);
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
}

void wait_asked(state_t *self, ask_t *ask)
{
    struct m_wait said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_wait_layout, &said))
        return;
    const struct m_ref ref = { .id = said.id, .task = said.task };
    if (ref_check(&ref, &why)) {
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
    if (r == STATUS_BUSY) {
        why = (struct refusal){ .scope = "waits", .retry_after_ms = RETRY_WAITS_MS };
        why.limit = (uint64_t)self->settings->state_waits_max;
        why.current = waits_count(self->waits);
        refusal_say(&why, STATUS_BUSY, NULL, "too many wait already");
        ask_refuse(&ask, &why);
    } else if (r) {
        ask_fail(&ask, r, NULL);
    } else {
        queue_look(self, said.id, false); /* asked for at the end of the turn */
        if (!uv_is_active((uv_handle_t *)&self->expiry))
            uv_timer_start(&self->expiry, on_expiry, EXPIRY_MS, EXPIRY_MS);
    }
}
