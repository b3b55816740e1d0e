#include "tests/unit/test.h"

#include "common/status.h"
#include "proto/codec.h"
#include "services/state/record.h"
#include "services/state/task.h"

static msgpack_sbuffer buffer;

enum { NOW_MS = 1000000 };

static int setup(void **state_)
{
    UNUSED;
    msgpack_sbuffer_init(&buffer);
    return 0;
}

static int teardown(void **state_)
{
    UNUSED;
    msgpack_sbuffer_destroy(&buffer);
    return 0;
}

static msgpack_packer packer(void)
{
    msgpack_packer pk;
    msgpack_sbuffer_clear(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    return pk;
}

static struct slice taken(void)
{
    return slice_make(buffer.data, buffer.size);
}

static struct m_task plain(void)
{
    return (struct m_task){ .id = SLICE("t1"),
                            .task = SLICE("a.b"),
                            .token = SLICE("0123456789abcdef") };
}

static int read(const struct m_task *task, struct refusal *why)
{
    struct m_task again;
    msgpack_packer pk = packer();
    message_encode(&m_task_layout, task, &pk);
    return task_read(taken(), NOW_MS, &again, why);
}

TEST(every_bound_is_named)
{
    UNUSED;
    struct m_task at_most = plain();
    struct refusal why = { 0 };
    at_most.delay_ms = at_most.schedule_to_start_ms = at_most.schedule_to_close_ms =
        (uint64_t)LATER_MOST_MS;
    at_most.not_before_ms = (uint64_t)LATER_MOST_MS + NOW_MS;
    at_most.failures_max = FAILURES_MOST;
    at_most.crashes_max = CRASHES_MOST;
    at_most.retry_ms = UINT32_MAX;
    CHECK_INT(read(&at_most, &why), 0);

    for (int i = 0; i < 6; i++) {
        static const char *const fields[] = { "delay_ms",     "schedule_to_start_ms",
                                              "failures_max", "schedule_to_close_ms",
                                              "crashes_max",  "not_before_ms" };
        struct m_task task = at_most;
        task.delay_ms += i == 0;
        task.schedule_to_start_ms += i == 1;
        task.failures_max += i == 2;
        task.schedule_to_close_ms += i == 3;
        task.crashes_max += i == 4;
        task.not_before_ms += i == 5;
        why = (struct refusal){ 0 };
        CHECK_INT(read(&task, &why), STATUS_INVALID);
        CHECK_TEXT(why.field, fields[i]);
        CHECK_INT(why.current, why.limit + 1);
        CHECK(strstr(why.message, "at most"));
    }
}

TEST(a_submit_goes_before_a_node_and_a_node_before_the_settings)
{
    UNUSED;
    const struct limits node = { .failures_max = 7, .retry_ms = 20 };
    const struct limits all = { .failures_max = 5, .crashes_max = 3 };
    struct limits said = { .retry_ms = 10 };
    limits_fill(&said, &node);
    limits_fill(&said, &all);
    CHECK_INT(said.failures_max, 7);
    CHECK_INT(said.crashes_max, 3);
    CHECK_INT(said.retry_ms, 10);
}

/* The functions read it by these offsets. */
TEST(the_body_begins_with_a_fixed_prefix_and_ends_with_its_token)
{
    UNUSED;
    static const char nobodys[] =
        "\xcf\0\0\0\0\0\0\x01\x02\x00\xcc\x03\xcd\x03\xe8\xce\x01\x02\x03\x04\x82";
    static const char token[] = "\xc4\x10"
                                "0123456789abcdef";
    static const char anns[] =
        "\xcf\0\0\0\0\0\0\x01\x02\x01\xcc\x03\xcd\x03\xe8\xce\x01\x02\x03\x04\x84";
    struct m_task task = plain();
    const struct limits limits = { .failures_max = 1000, .crashes_max = 3, .retry_ms = 0x01020304 };
    msgpack_packer pk = packer();
    task_pack_body(&task, &limits, PRIORITY_HIGH, 0x0102, false, &pk); /* {input, priority} */
    CHECK(buffer.size > sizeof nobodys);
    assert_memory_equal(buffer.data, nobodys, sizeof nobodys - 1);
    assert_memory_equal(buffer.data + buffer.size - (sizeof token - 1), token, sizeof token - 1);

    task.owner = SLICE("ann");
    task.timeout_ms = 5000;
    pk = packer();
    task_pack_body(&task, &limits, PRIORITY_LOW, 0x0102, false, &pk);
    CHECK(buffer.size > sizeof anns);
    assert_memory_equal(buffer.data, anns, sizeof anns - 1);

    pk = packer();
    task_pack_body(&task, &limits, PRIORITY_LOW, 0x0102, true, &pk);
    CHECK_INT(buffer.data[9], 1 | 4); /* owned, refers to others */
}

TEST(extra_is_there_only_when_something_is_said)
{
    UNUSED;
    struct m_task task = plain();
    struct slice value;
    uint64_t whole = 0;
    msgpack_packer pk = packer();
    task_pack_extra(&task, &pk);
    CHECK_INT(buffer.size, 0);

    task.owner = SLICE("ann");
    task.delay_ms = 1;
    task.schedule_to_close_ms = (uint64_t)LATER_MOST_MS;
    pk = packer();
    task_pack_extra(&task, &pk);
    CHECK_INT(codec_check(taken()), 0);
    CHECK(codec_find(taken(), "owner", &value));
    CHECK(codec_find(taken(), "to_close_ms", &value) && codec_whole(value, &whole));
    CHECK_INT(whole, LATER_MOST_MS);
    CHECK(!codec_find(taken(), "to_start_ms", &value));
    CHECK(!codec_find(taken(), "not_before_ms", &value));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(every_bound_is_named),
        EACH(a_submit_goes_before_a_node_and_a_node_before_the_settings),
        EACH(the_body_begins_with_a_fixed_prefix_and_ends_with_its_token),
        EACH(extra_is_there_only_when_something_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
