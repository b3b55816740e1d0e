/* A schedule as Redis keeps it, and the slot it is said to have: what is taken comes due later than
 * now, and reads the same once more. */
#include "proto/codec.h"
#include "services/state/cron_plan.h"
#include "tests/fuzz/parts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANY_EXPRESSION = 1 }; /* in the first byte: no definition, but the five fields alone */

#define NOW_MS INT64_C(1800000000000)
#define FAR_MS ((int64_t)(CRON_YEARS + 1) * 366 * 86400000)

static void check_due(const struct m_cron *plan, int64_t slot_ms)
{
    int64_t next_ms = 0, latest_ms = 0;
    int r = cron_plan_next(plan, NOW_MS, &next_ms);
    assert(r >= 0);
    if (r || next_ms == 0)
        return;
    assert(next_ms > NOW_MS && next_ms < NOW_MS + FAR_MS);
    assert(cron_plan_latest(plan, slot_ms, NOW_MS, &latest_ms) == 0);
    assert(latest_ms >= slot_ms && latest_ms <= NOW_MS);

    char id[CRON_ID_MAX];
    cron_plan_id(plan->name, slot_ms, id);
}

static void read_again(const struct m_cron *plan)
{
    struct m_cron again;
    msgpack_sbuffer packed;
    msgpack_packer pk;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    cron_plan_pack(plan, &pk);
    assert(cron_plan_read(slice_make(packed.data, packed.size), &again));
    assert(slice_equal(again.schedule, plan->schedule) && slice_equal(again.input, plan->input));
    msgpack_sbuffer_destroy(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scoped_in(parts) parts = { 0 };
    struct refusal why = { 0 };
    struct m_cron plan = { .name = SLICE("name"), .task = SLICE("system.noop") };
    int64_t slot_ms = 0;
    if (size < 1 + sizeof slot_ms)
        return 0;
    memcpy(&slot_ms, data + 1, sizeof slot_ms);
    slot_ms = slot_ms < NOW_MS ? slot_ms : NOW_MS;
    parts_cut(&parts, 1, data + 1 + sizeof slot_ms, size - 1 - sizeof slot_ms);
    plan.schedule = parts.item[0];
    if (!(data[0] & ANY_EXPRESSION) && !cron_plan_read(parts.item[0], &plan))
        return 0;
    if (cron_plan_check(&plan, &why) == 0) {
        check_due(&plan, slot_ms);
        if (!(data[0] & ANY_EXPRESSION))
            read_again(&plan);
    }
    return 0;
}
