/* What brokers ask of a state service, done on the model's store. */
#include "common/status.h"
#include "proto/codec.h"
#include "tests/sim/ask.h"
#include "tests/sim/world.h"

enum { WAIT_MOST_MS = 60000 };

/* ---- answers ---- */

static void put(struct ask *ask, const msgpack_sbuffer *buffer)
{
    zmq_msg_close(&ask->answer);
    zmq_msg_init_size(&ask->answer, buffer->size);
    memcpy(zmq_msg_data(&ask->answer), buffer->data, buffer->size);
}

static void answer_with(struct ask *ask, const struct message_layout *layout, const void *m)
{
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    message_encode(layout, m, &pk);
    put(ask, &buffer);
    msgpack_sbuffer_destroy(&buffer);
}

void ask_refuse(struct ask *ask, uint32_t status)
{
    const struct m_error error = { .message = slice_of(status_text((int)status)),
                                   .retry_after_ms = status_name((int)status)[0] == 'N' ? 0 : 200 };
    ask->status = status;
    ask->count = 0;
    answer_with(ask, &m_error_layout, &error);
}

/* ---- what is asked ---- */

struct items {
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    struct reader reader;
    uint32_t count;
};

static bool items_begin(struct items *self, struct ask *ask)
{
    msgpack_sbuffer_init(&self->buffer);
    msgpack_packer_init(&self->pk, &self->buffer, msgpack_sbuffer_write);
    if (!codec_array(frame_slice(&ask->body), &self->reader, &self->count)) {
        ask_refuse(ask, STATUS_MALFORMED);
        return false;
    }
    msgpack_pack_array(&self->pk, self->count);
    return true;
}

static void items_end(struct items *self, struct ask *ask)
{
    ask->count = self->count;
    put(ask, &self->buffer);
    msgpack_sbuffer_destroy(&self->buffer);
}

static void on_submit(struct ask *ask)
{
    static const char *const reuses[] = { "miss", "wait", "hit" };
    struct items items;
    struct slice item;
    if (!items_begin(&items, ask))
        return;
    for (uint32_t i = 0; i < items.count && reader_value(&items.reader, &item); i++) {
        struct m_task task;
        enum stage_state state = STATE_PENDING;
        enum reuse reuse = REUSE_MISS;
        struct m_receipt receipt = { .status = STATUS_INVALID };
        if (message_decode(&m_task_layout, item, &task, NULL) == 0)
            receipt.status =
                (uint32_t)store_submit(&task, (enum priority)ask->header.priority, &state, &reuse);
        receipt.id = task.id;
        receipt.task = task.task;
        receipt.state = slice_of(state_text((int)state));
        receipt.reuse = slice_of(reuses[reuse]);
        receipt.retry_after_ms = receipt.status ? 200 : 0;
        message_encode(&m_receipt_layout, &receipt, &items.pk);
    }
    items_end(&items, ask);
}

static void on_done(struct ask *ask)
{
    struct items items;
    struct slice item;
    if (!items_begin(&items, ask))
        return;
    for (uint32_t i = 0; i < items.count && reader_value(&items.reader, &item); i++) {
        struct m_result result;
        struct m_outcome outcome = { .status = STATUS_INVALID };
        if (message_decode(&m_result_layout, item, &result, NULL) == 0)
            outcome.status = (uint32_t)store_finish(&result);
        message_encode(&m_outcome_layout, &outcome, &items.pk);
    }
    items_end(&items, ask);
}

void ask_return(struct ask *ask)
{
    struct items items;
    struct slice item;
    if (!items_begin(&items, ask))
        return;
    for (uint32_t i = 0; i < items.count && reader_value(&items.reader, &item); i++) {
        struct m_handout handout;
        struct m_outcome outcome = { .status = STATUS_INVALID };
        if (message_decode(&m_handout_layout, item, &handout, NULL) == 0)
            outcome.status = (uint32_t)store_give_back(&handout);
        message_encode(&m_outcome_layout, &outcome, &items.pk);
    }
    items_end(&items, ask);
}

static void on_claim(struct ask *ask)
{
    struct stage *stages[STAGES_MAX];
    struct m_claim claim;
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    if (message_decode(&m_claim_layout, frame_slice(&ask->body), &claim, NULL)) {
        ask_refuse(ask, STATUS_INVALID);
        return;
    }
    ask->count = store_claim(&claim, slice_of(ask->queue), ask->header.count, stages);
    if (ask->count == 0) {
        ask->status = STATUS_EMPTY;
        return;
    }
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, ask->count);
    for (uint32_t i = 0; i < ask->count; i++) {
        const struct stage *stage = stages[i];
        uint8_t checkpoint = stage->checkpoint;
        const struct m_handout handout = {
            .id = slice_of(stage->id),
            .task = slice_of(stage->task),
            .session = claim.session,
            .token = slice_make(stage->token, sizeof stage->token),
            .attempt = stage->attempt,
            .generation = stage->generation,
            .failures = stage->failures,
            .crashes = stage->crashes,
            .checkpoint = slice_make(&checkpoint, checkpoint ? 1 : 0),
        };
        message_encode(&m_handout_layout, &handout, &pk);
    }
    put(ask, &buffer);
    msgpack_sbuffer_destroy(&buffer);
}

static struct slice pack_tokens(msgpack_sbuffer *buffer, uint32_t count,
                                uint8_t tokens[][WIRE_LEASE_TOKEN_SIZE])
{
    msgpack_packer pk;
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(&pk, buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, count);
    for (uint32_t i = 0; i < count; i++)
        pack_bin(&pk, slice_make(tokens[i], WIRE_LEASE_TOKEN_SIZE));
    return slice_make(buffer->data, buffer->size);
}

static void on_heartbeat(struct ask *ask)
{
    struct m_heartbeat beat;
    struct beaten beaten;
    msgpack_sbuffer stale, cancel;
    if (message_decode(&m_heartbeat_layout, frame_slice(&ask->body), &beat, NULL)) {
        ask_refuse(ask, STATUS_INVALID);
        return;
    }
    store_heartbeat(&beat, &beaten);
    const struct m_beat answer = {
        .stale = pack_tokens(&stale, beaten.stale_count, beaten.stale),
        .cancel = pack_tokens(&cancel, beaten.cancel_count, beaten.cancel),
        .drain = beaten.drain,
    };
    answer_with(ask, &m_beat_layout, &answer);
    msgpack_sbuffer_destroy(&stale);
    msgpack_sbuffer_destroy(&cancel);
}

static void on_bye(struct ask *ask)
{
    struct m_bye bye;
    if (message_decode(&m_bye_layout, frame_slice(&ask->body), &bye, NULL) == 0 &&
        bye.session.size == WIRE_SESSION_SIZE)
        store_bye(bye.session);
}

static void tell_record(struct ask *ask, const struct stage *stage)
{
    msgpack_sbuffer stages;
    msgpack_packer pk;
    const struct m_stage m = { .state = slice_of(state_text((int)stage->state)),
                               .attempt = stage->attempt,
                               .generation = stage->generation,
                               .failures = stage->failures,
                               .crashes = stage->crashes };
    msgpack_sbuffer_init(&stages);
    msgpack_packer_init(&pk, &stages, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 1);
    pack_text(&pk, stage->task);
    message_encode(&m_stage_layout, &m, &pk);
    const struct m_record record = { .id = slice_of(stage->id),
                                     .status = SLICE("sim"),
                                     .stages = slice_make(stages.data, stages.size) };
    answer_with(ask, &m_record_layout, &record);
    msgpack_sbuffer_destroy(&stages);
}

static void on_get(struct ask *ask)
{
    struct m_ref ref;
    if (message_decode(&m_ref_layout, frame_slice(&ask->body), &ref, NULL)) {
        ask_refuse(ask, STATUS_INVALID);
        return;
    }
    bool cancel = ask->header.verb == VERB_CANCEL;
    const struct stage *stage = cancel ? store_cancel(ref.id) : store_find(ref.id);
    if (!stage)
        ask_refuse(ask, STATUS_NOT_FOUND);
    else if (cancel && state_terminal((int)stage->state) && stage->state != STATE_CANCELLED)
        ask_refuse(ask, STATUS_CONFLICT);
    else
        tell_record(ask, stage);
}

/* Answers when there is an end to tell, else it stays parked. */
void ask_wait(struct ask *ask)
{
    struct m_wait wait;
    ask->parked = false;
    if (message_decode(&m_wait_layout, frame_slice(&ask->body), &wait, NULL)) {
        ask_refuse(ask, STATUS_INVALID);
        return;
    }
    const struct stage *stage = store_find(wait.id);
    int64_t most =
        wait.timeout_ms && wait.timeout_ms < WAIT_MOST_MS ? wait.timeout_ms : WAIT_MOST_MS;
    if (!ask->until_us)
        ask->until_us = world.now_us + most * 1000;
    if (!stage)
        ask_refuse(ask, STATUS_NOT_FOUND);
    else if (state_terminal((int)stage->state))
        tell_record(ask, stage);
    else if (ask->until_us <= world.now_us)
        ask_refuse(ask, STATUS_TIMEOUT);
    else
        ask->parked = true;
}

static void on_nothing(struct ask *ask)
{
    ask->status = STATUS_OK;
}

ask_fn *const brokers_say[VERB_END] = {
    [VERB_SUBMIT] = on_submit,       [VERB_GET] = on_get,        [VERB_CANCEL] = on_get,
    [VERB_WAIT] = ask_wait,          [VERB_CLAIM] = on_claim,    [VERB_DONE] = on_done,
    [VERB_HEARTBEAT] = on_heartbeat, [VERB_RETURN] = ask_return, [VERB_BYE] = on_bye,
    [VERB_REGISTER] = on_nothing,
};
