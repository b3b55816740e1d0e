#include "services/state/cron_plan.h"

#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/zone.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

bool cron_name_valid(struct slice name)
{
    static const char all[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    char text[CRON_NAME_MAX + 1];
    return slice_copy(name, text, sizeof text) && *text && *text != '_' && *text != '-' &&
           !text[strspn(text, all)];
}

static int check_times(const struct m_cron *plan, struct refusal *why)
{
    struct cron cron;
    int r = cron_parse(plan->schedule, &cron, why);
    if (r)
        return r;
    if (!zone_known(plan->zone))
        return refusal_say(why, STATUS_INVALID, "zone",
                           "no time zone %.*s on this machine; it is a name such as "
                           "Asia/Shanghai, or empty for UTC",
                           SLICE_ARG(plan->zone));
    return 0;
}

int cron_plan_check(const struct m_cron *plan, struct refusal *why)
{
    if (!cron_name_valid(plan->name))
        return refusal_say(why, STATUS_INVALID, "name",
                           "must be [a-z0-9][a-z0-9_-]*, at most %d bytes", CRON_NAME_MAX);
    int r = check_times(plan, why);
    if (r)
        return r;
    if (!task_name_valid(plan->task))
        return refusal_say(why, STATUS_INVALID, "task", TASK_NAME_RULE);
    if (plan->input.size && codec_depth(plan->input) > WIRE_VALUE_DEPTH_MAX)
        return refusal_say(why, STATUS_INVALID, "input", "is nested deeper than %d levels",
                           WIRE_VALUE_DEPTH_MAX);
    if (plan->priority.size && priority_by_text(plan->priority) < 0)
        return refusal_say(why, STATUS_INVALID, "priority", "must be normal, high or low");
    return 0;
}

void cron_plan_pack(const struct m_cron *plan, msgpack_packer *pk)
{
    struct m_cron kept = *plan;
    kept.action = (struct slice){ 0 };
    kept.next_ms = kept.last_ms = 0;
    message_encode(&m_cron_layout, &kept, pk);
}

bool cron_plan_read(struct slice packed, struct m_cron *ret_plan)
{
    return codec_check(packed) == 0 &&
           message_decode(&m_cron_layout, packed, ret_plan, NULL) == 0 &&
           task_name_valid(ret_plan->task);
}

int cron_plan_next(const struct m_cron *plan, int64_t now_ms, int64_t *ret_next_ms)
{
    struct cron cron;
    struct refusal why;
    struct zone zone;
    int64_t next_ms = 0;
    int r = cron_parse(plan->schedule, &cron, &why);
    if (!r)
        r = zone_enter(&zone, plan->zone);
    if (r)
        return r;
    if (!cron_next(&cron, zone_offset, now_ms, &next_ms))
        next_ms = 0;
    zone_leave(&zone);
    *ret_next_ms = next_ms;
    return 0;
}

int cron_plan_latest(const struct m_cron *plan, int64_t slot_ms, int64_t now_ms,
                     int64_t *ret_latest_ms)
{
    struct cron cron;
    struct refusal why;
    struct zone zone;
    int r = cron_parse(plan->schedule, &cron, &why);
    if (!r)
        r = zone_enter(&zone, plan->zone);
    if (r)
        return r;
    *ret_latest_ms = cron_latest(&cron, zone_offset, slot_ms, now_ms);
    zone_leave(&zone);
    return 0;
}

void cron_plan_id(struct slice name, int64_t slot_ms, char id[CRON_ID_MAX])
{
    const time_t slot_s = (time_t)(slot_ms / 1000);
    struct tm utc = { 0 };
    char moment[24];
    gmtime_r(&slot_s, &utc);
    strftime(moment, sizeof moment, "%Y%m%dT%H%M%SZ", &utc);
    snprintf(id, CRON_ID_MAX, "%.*s-%s", SLICE_ARG(name), moment);
}

/* No two schedules share a task, so the slot and its schedule's name tell submits apart. */
void cron_plan_token(struct slice name, int64_t slot_ms, uint8_t token[CRON_TOKEN_SIZE])
{
    const uint64_t halves[] = { (uint64_t)slot_ms, slice_hash(name) };
    static_assert(sizeof halves == CRON_TOKEN_SIZE, "a token has two halves");
    memcpy(token, halves, sizeof halves);
}
