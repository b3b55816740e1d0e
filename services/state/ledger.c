/* LEDGER. */
#include "services/state/ledger.h"

#include "common/status.h"
#include "services/state/reply.h"
#include "services/state/state.h"

static void put(struct m_ledger *ledger, struct slice name, int64_t value)
{
    if (slice_is(name, "balanced"))
        ledger->balanced = value == 1;
    for (uint32_t i = 0; i < m_ledger_layout.count; i++) {
        const struct message_field *field = &m_ledger_layout.fields[i];
        if (field->kind == MESSAGE_U64 && slice_is(name, field->name))
            *(uint64_t *)(void *)((char *)ledger + field->offset) = value > 0 ? (uint64_t)value : 0;
    }
}

int ledger_read(const redisReply *reply, struct m_ledger *ret_ledger)
{
    if (!reply_has(reply, 0) || reply->elements % 2)
        return STATUS_INTERNAL;
    struct m_ledger ledger = { 0 };
    for (size_t i = 0; i < reply->elements; i += 2)
        put(&ledger, reply_text(reply->element[i]), reply_whole(reply->element[i + 1]));
    *ret_ledger = ledger;
    return 0;
}

static void on_ledger(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    struct m_ledger ledger;
    if (!status)
        status = ledger_read(reply, &ledger);
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    message_encode(&m_ledger_layout, &ledger, state_packer(ask->state));
    ask_answer(&ask, STATUS_OK, 0, state_packed(ask->state));
}

void ledger_asked(state_t *self, ask_t *ask)
{
    state_call(ask, store_function(self->store, "ledger"), on_ledger);
}
