#include "services/state/ask.h"

#include "common/log.h"
#include "common/status.h"
#include "services/state/state.h"

#include <errno.h>
#include <stdlib.h>

enum { ASKS_KEPT = 1024, RETRY_UNAVAILABLE_MS = 500, RETRY_BUSY_MS = 200, RETRY_FULL_MS = 2000 };

ask_t *ask_new(state_t *state, struct broker *broker, const struct header *header, zmq_msg_t *body)
{
    ask_t *self = state->spare_asks;
    if (self) {
        state->spare_asks = self->next;
        state->spare_asks_count--;
    } else {
        self = malloc(sizeof *self);
    }
    if (!self)
        return NULL;
    *self = (struct ask){ .state = state, .broker = broker, .epoch = broker->epoch };
    self->verb = header->verb;
    self->request = header->request;
    self->priority = header->priority;
    self->count = header->count;
    self->verdicts = self->few;
    self->service_size =
        (uint8_t)(header->service.size <= ASK_SERVICE_MAX ? header->service.size : 0);
    if (self->service_size)
        memcpy(self->service, header->service.data, self->service_size);
    zmq_msg_init(&self->body);
    zmq_msg_move(&self->body, body);
    return self;
}

static void clear_verdicts(ask_t *self)
{
    for (uint32_t i = 0; i < self->items; i++)
        free(self->verdicts[i].refusal);
    if (self->verdicts != self->few)
        free(self->verdicts);
    self->verdicts = self->few;
}

void ask_drop(ask_t **self_p)
{
    ask_t *self = *self_p;
    state_t *state = self->state;
    *self_p = NULL;
    clear_verdicts(self);
    zmq_msg_close(&self->body);
    if (state->spare_asks_count >= ASKS_KEPT) {
        free(self);
        return;
    }
    self->next = state->spare_asks;
    state->spare_asks = self;
    state->spare_asks_count++;
}

void asks_add(struct asks *self, ask_t *ask)
{
    ask->next = NULL;
    if (self->first)
        self->last->next = ask;
    else
        self->first = ask;
    self->last = ask;
}

ask_t *asks_take(struct asks *self)
{
    ask_t *ask = self->first;
    if (ask)
        self->first = ask->next;
    return ask;
}

void asks_drop(struct asks *self)
{
    for (ask_t *ask = asks_take(self); ask; ask = asks_take(self))
        ask_drop(&ask);
}

struct slice ask_body(ask_t *self)
{
    return frame_slice(&self->body);
}

struct slice ask_service(const ask_t *self)
{
    return slice_make(self->service, self->service_size);
}

bool ask_reachable(const ask_t *self)
{
    return self->broker->epoch == self->epoch && session_welcome(self->broker->session);
}

int ask_items(ask_t *self, uint32_t count)
{
    if (count > ASK_FEW) {
        struct verdict *verdicts = calloc(count, sizeof *verdicts);
        if (!verdicts)
            return -ENOMEM;
        self->verdicts = verdicts;
    }
    self->items = count;
    self->open = 1;
    return 0;
}

void ask_refuse_item(ask_t *self, uint32_t index, const struct refusal *why)
{
    struct verdict *verdict = &self->verdicts[index];
    verdict->status = (uint8_t)why->status;
    verdict->refusal = malloc(sizeof *why);
    if (verdict->refusal) /* else it is refused without saying why */
        *verdict->refusal = *why;
}

static void send_answer(ask_t *self, int status, uint32_t count, struct slice body)
{
    zmq_msg_t message;
    if (body.size == 0) {
        session_answer(self->broker->session, self->request, (uint32_t)status, count, NULL);
        return;
    }
    if (zmq_msg_init_size(&message, body.size)) {
        session_answer(self->broker->session, self->request, STATUS_UNAVAILABLE, 0, NULL);
        return;
    }
    memcpy(zmq_msg_data(&message), body.data, body.size);
    session_answer(self->broker->session, self->request, (uint32_t)status, count, &message);
}

static struct slice pack_refusal(state_t *state, const struct refusal *why)
{
    const struct m_error error = {
        .message = slice_of(why->message),
        .field = slice_of(why->field),
        .scope = slice_of(why->scope),
        .limit = why->limit,
        .current = why->current,
        .retry_after_ms = why->retry_after_ms,
    };
    message_encode(&m_error_layout, &error, state_packer(state));
    return state_packed(state);
}

void ask_answer(ask_t **self_p, int status, uint32_t count, struct slice body)
{
    ask_t *self = *self_p;
    if (body.size > WIRE_FRAME_HARD_MAX) {
        struct refusal why = { .limit = WIRE_FRAME_HARD_MAX, .current = body.size };
        status =
            refusal_say(&why, STATUS_TOO_LARGE, NULL, "the answer does not fit into a message");
        count = 0;
        body = pack_refusal(self->state, &why);
    }
    if (!self->state->stopping && ask_reachable(self))
        send_answer(self, status, count, body);
    ask_drop(self_p);
}

void ask_refuse(ask_t **self_p, const struct refusal *why)
{
    ask_answer(self_p, why->status, 0, pack_refusal((*self_p)->state, why));
}

static void busy(state_t *state, bool redis_spoke, struct refusal *why)
{
    if (redis_spoke) {
        why->scope = "redis memory";
        why->retry_after_ms = RETRY_FULL_MS;
        refusal_say(why, STATUS_BUSY, NULL,
                    "Redis is full: nothing new is accepted until it drains");
        return;
    }
    why->scope = "redis calls";
    why->limit = (uint64_t)state->settings->state_redis_calls_max;
    why->current = store_calls(state->store);
    why->retry_after_ms = RETRY_BUSY_MS;
    refusal_say(why, STATUS_BUSY, NULL, "too many calls in flight to Redis");
}

void ask_trouble(ask_t *self, int status, const redisReply *reply)
{
    self->trouble = status;
    self->redis_spoke = reply != NULL;
    if (status == STATUS_INTERNAL)
        log_event_seldom(LOG_LEVEL_ERROR, "call_failed", "verb=%s why=%s", verb_text(self->verb),
                         reply && reply->type == REDIS_REPLY_ERROR ? reply->str
                                                                   : "an answer of another shape");
}

void ask_fail(ask_t **self_p, int status, const redisReply *reply)
{
    ask_t *self = *self_p;
    struct refusal why = { .retry_after_ms = RETRY_UNAVAILABLE_MS };
    if (status)
        ask_trouble(self, status, reply);
    if (self->trouble == STATUS_BUSY) {
        busy(self->state, self->redis_spoke, &why);
    } else if (self->trouble == -ENOMEM) {
        why.scope = "memory";
        refusal_say(&why, STATUS_BUSY, NULL, "the state service is out of memory");
    } else if (self->trouble == STATUS_UNAVAILABLE) {
        refusal_say(&why, STATUS_UNAVAILABLE, NULL,
                    self->redis_spoke
                        ? "Redis takes nothing now, its log says why; nothing was lost, try again"
                        : "Redis is away; nothing was lost, try again");
    } else {
        why.retry_after_ms = 0;
        refusal_say(&why, STATUS_INTERNAL, NULL, "%s", status_text(STATUS_INTERNAL));
    }
    ask_refuse(self_p, &why);
}
