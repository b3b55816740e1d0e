/* The life of workers' sessions: heartbeats, farewells, and sweeps for those that fell silent. */
#include "common/status.h"
#include "proto/codec.h"
#include "tests/sim/stage.h"

#include <assert.h>

enum { SWEEP_GAP_MS = 900, SWEEP_AWAY_MS = 3000 };

static struct lease *lease_of(struct slice session)
{
    for (int i = 0; i < SESSIONS_MAX; i++)
        if (store.leases[i].used &&
            memcmp(store.leases[i].session, session.data, sizeof store.leases[i].session) == 0)
            return &store.leases[i];
    return NULL;
}

struct lease *lease_open(struct slice session)
{
    struct lease *lease = lease_of(session);
    for (int i = 0; !lease && i < SESSIONS_MAX; i++) {
        if (store.leases[i].used)
            continue;
        lease = &store.leases[i];
        *lease = (struct lease){ .used = true };
        memcpy(lease->session, session.data, sizeof lease->session);
        lease->until_ms = store_now() + store_rules.lease_ms;
    }
    assert(lease);
    return lease;
}

int64_t store_lease_until(struct slice session)
{
    const struct lease *lease = lease_of(session);
    return lease ? lease->until_ms : 0;
}

void store_bye(struct slice session)
{
    struct lease *lease = lease_of(session);
    for (unsigned i = 0; i < store.stages_count; i++)
        if (stage_held_by(&store.stages[i], session))
            stage_release(&store.stages[i], false);
    if (lease)
        lease->used = false;
}

static bool says_held(const struct m_heartbeat *beat, const struct stage *stage)
{
    struct reader reader;
    struct slice item;
    struct m_hold hold;
    uint32_t count = 0;
    if (!beat->held.size || !codec_array(beat->held, &reader, &count))
        return false;
    while (count-- && reader_value(&reader, &item))
        if (message_decode(&m_hold_layout, item, &hold, NULL) == 0 &&
            slice_is(hold.id, stage->id) &&
            memcmp(hold.token.data, stage->token, sizeof stage->token) == 0)
            return true;
    return false;
}

static void find_stale(const struct m_heartbeat *beat, struct beaten *ret_beaten)
{
    struct reader reader;
    struct slice item;
    struct m_hold hold;
    uint32_t count = 0;
    int status;
    if (!beat->held.size || !codec_array(beat->held, &reader, &count))
        return;
    while (count-- && reader_value(&reader, &item)) {
        if (message_decode(&m_hold_layout, item, &hold, NULL) ||
            stage_held(hold.id, beat->session, hold.token, &status) || status != STATUS_STALE)
            continue;
        assert(ret_beaten->stale_count < STAGES_MAX);
        memcpy(ret_beaten->stale[ret_beaten->stale_count++], hold.token.data, hold.token.size);
    }
}

/* Workers' names end in their number. */
static bool drained(struct slice name)
{
    const char *last = (const char *)name.data + name.size - 1;
    return name.size && store.drained & 1u << (*last - '0');
}

void store_heartbeat(const struct m_heartbeat *beat, struct beaten *ret_beaten)
{
    struct lease *lease = lease_open(beat->session);
    *ret_beaten = (struct beaten){ .drain = drained(beat->worker) };
    lease->until_ms = store_now() + store_rules.lease_ms;
    for (unsigned i = 0; i < store.stages_count; i++) {
        struct stage *stage = &store.stages[i];
        if (!stage_held_by(stage, beat->session))
            continue;
        if (!says_held(beat, stage)) {
            if (stage->hold.seq < beat->claim_open)
                stage_release(stage, false);
        } else if (stage->hold.cancelled || stage->hold.closed) {
            memcpy(ret_beaten->cancel[ret_beaten->cancel_count++], stage->token,
                   sizeof stage->token);
        }
    }
    find_stale(beat, ret_beaten);
}

static uint32_t holds_of(const struct lease *lease)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < store.stages_count; i++)
        count += stage_held_by(&store.stages[i], slice_make(lease->session, sizeof lease->session));
    return count;
}

static void expire(struct lease *lease)
{
    struct slice session = slice_make(lease->session, sizeof lease->session);
    for (unsigned i = 0; i < store.stages_count; i++)
        if (stage_held_by(&store.stages[i], session))
            stage_release(&store.stages[i], true);
    lease->used = false;
}

static void extend_all(int64_t until_ms)
{
    for (int i = 0; i < SESSIONS_MAX; i++)
        store.leases[i].until_ms = until_ms;
}

void store_sweep(void)
{
    int64_t now = store_now(), away = now - store.swept_ms;
    uint32_t may = 0;
    if (store.swept_ms && away < SWEEP_GAP_MS)
        return;
    bool first = store.swept_ms == 0;
    store.swept_ms = now;
    if (first || away > SWEEP_AWAY_MS) {
        extend_all(now + store_rules.lease_ms);
        return;
    }
    for (int i = 0; i < SESSIONS_MAX; i++)
        may += store.leases[i].used;
    may = may / 5 ? may / 5 : 1;
    for (int i = 0; i < SESSIONS_MAX; i++) {
        struct lease *lease = &store.leases[i];
        if (!lease->used || lease->until_ms > now)
            continue;
        if (holds_of(lease) == 0 || may) {
            may -= holds_of(lease) != 0;
            expire(lease);
        } else {
            lease->until_ms = now + store_rules.lease_ms;
        }
    }
}
