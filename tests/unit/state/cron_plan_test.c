#include "tests/unit/test.h"

#include "common/status.h"
#include "proto/codec.h"
#include "services/state/cron_plan.h"

#define MINUTE_MS INT64_C(60000)

static const uint8_t one_input[] = { 0x81, 0xa1, 'n', 7 }; /* {"n": 7} */

static struct m_cron plan_of(const char *schedule)
{
    return (struct m_cron){ .action = SLICE("set"),
                            .name = SLICE("nightly"),
                            .schedule = slice_of(schedule),
                            .zone = SLICE("Asia/Shanghai"),
                            .task = SLICE("system.echo"),
                            .input = slice_make(one_input, sizeof one_input),
                            .priority = SLICE("low"),
                            .timeout_ms = 5,
                            .next_ms = 1,
                            .last_ms = 2 };
}

TEST(names_are_what_a_task_id_may_begin_with)
{
    UNUSED;
    static const char *const good[] = { "a", "0", "nightly", "a-b_c9" };
    static const char *const bad[] = { "", "-a", "_a", "A", "a.b", "a/b", "a b", "é" };
    char longest[CRON_NAME_MAX + 1];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(cron_name_valid(slice_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!cron_name_valid(slice_of(bad[i])));
    memset(longest, 'x', sizeof longest);
    CHECK(cron_name_valid(slice_make(longest, CRON_NAME_MAX)));
    CHECK(!cron_name_valid(slice_make(longest, CRON_NAME_MAX + 1)));
    CHECK(!cron_name_valid(slice_make("a\0b", 3)));
}

TEST(a_definition_is_read_as_it_was_packed)
{
    UNUSED;
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    struct m_cron plan = plan_of("0 3 * * *"), read;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    cron_plan_pack(&plan, &pk);
    CHECK(cron_plan_read(slice_make(buffer.data, buffer.size), &read));
    CHECK_SLICE(read.name, "nightly");
    CHECK_SLICE(read.schedule, "0 3 * * *");
    CHECK_SLICE(read.zone, "Asia/Shanghai");
    CHECK_SLICE(read.task, "system.echo");
    CHECK_SLICE(read.priority, "low");
    CHECK(slice_equal(read.input, plan.input));
    CHECK_INT(read.timeout_ms, 5);
    CHECK_INT(read.action.size, 0); /* what is no part of the definition is not kept */
    CHECK_INT(read.next_ms + read.last_ms, 0);
    for (size_t size = 0; size < buffer.size; size++) /* cut off anywhere */
        CHECK(!cron_plan_read(slice_make(buffer.data, size), &read));
    CHECK(!cron_plan_read(SLICE("\x80"), &read));
    msgpack_sbuffer_destroy(&buffer);
}

TEST(what_is_wrong_is_named)
{
    UNUSED;
    struct refusal why = { 0 };
    struct m_cron plan = plan_of("0 3 * * *");
    CHECK_INT(cron_plan_check(&plan, &why), 0);
    plan.priority = SLICE("urgent");
    CHECK_INT(cron_plan_check(&plan, &why), STATUS_INVALID);
    CHECK_TEXT(why.field, "priority");
    plan.task = SLICE("echo");
    CHECK_INT(cron_plan_check(&plan, &why), STATUS_INVALID);
    CHECK_TEXT(why.field, "task");
    plan.zone = SLICE("Mars/Olympus");
    CHECK_INT(cron_plan_check(&plan, &why), STATUS_INVALID);
    CHECK_TEXT(why.field, "zone");
    plan.schedule = SLICE("0 3 * *");
    CHECK_INT(cron_plan_check(&plan, &why), STATUS_INVALID);
    CHECK_TEXT(why.field, "schedule");
    plan.name = SLICE("Nightly");
    CHECK_INT(cron_plan_check(&plan, &why), STATUS_INVALID);
    CHECK_TEXT(why.field, "name");
}

TEST(slots_are_of_the_zone)
{
    UNUSED;
    struct m_cron plan = plan_of("0 3 * * *");
    const int64_t noon = INT64_C(1767268800000); /* 2026-01-01 12:00 UTC */
    int64_t at = -1;
    CHECK_INT(cron_plan_next(&plan, noon, &at), 0);
    CHECK_INT(at, noon + 7 * 60 * MINUTE_MS);
    CHECK_INT(cron_plan_latest(&plan, noon - 30 * 24 * 60 * MINUTE_MS, noon, &at), 0);
    CHECK_INT(at, noon - 17 * 60 * MINUTE_MS);
    plan.schedule = SLICE("0 0 30 2 *");
    CHECK_INT(cron_plan_next(&plan, noon, &at), 0);
    CHECK_INT(at, 0);
    plan.zone = SLICE("Mars/Olympus");
    CHECK_INT(cron_plan_next(&plan, noon, &at), STATUS_NOT_FOUND);
    CHECK_INT(cron_plan_latest(&plan, noon, noon, &at), STATUS_NOT_FOUND);
    plan.schedule = SLICE("x");
    CHECK_INT(cron_plan_next(&plan, noon, &at), STATUS_INVALID);
    CHECK_INT(cron_plan_latest(&plan, noon, noon, &at), STATUS_INVALID);
}

TEST(a_slot_is_one_submit_whoever_fires_it)
{
    UNUSED;
    char id[CRON_ID_MAX], longest[CRON_NAME_MAX];
    uint8_t one[CRON_TOKEN_SIZE], two[CRON_TOKEN_SIZE];
    cron_plan_id(SLICE("nightly"), INT64_C(1769828400999), id);
    CHECK_TEXT(id, "nightly-20260131T030000Z");
    memset(longest, 'x', sizeof longest);
    cron_plan_id(slice_make(longest, sizeof longest), INT64_C(1769828400000), id);
    CHECK_TEXT(id + CRON_NAME_MAX, "-20260131T030000Z");
    cron_plan_token(SLICE("nightly"), 1000, one);
    cron_plan_token(SLICE("nightly"), 1000, two);
    assert_memory_equal(one, two, sizeof one);
    cron_plan_token(SLICE("nightly"), 2000, two);
    assert_memory_not_equal(one, two, sizeof one);
    cron_plan_token(SLICE("nightl"), 1000, two);
    assert_memory_not_equal(one, two, sizeof one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(names_are_what_a_task_id_may_begin_with),
        HOLDS(a_definition_is_read_as_it_was_packed),
        HOLDS(what_is_wrong_is_named),
        HOLDS(slots_are_of_the_zone),
        HOLDS(a_slot_is_one_submit_whoever_fires_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
