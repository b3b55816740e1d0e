#include "services/front/tasks_body.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

enum { START_MS = 5000 };

static struct slice text(const char *json)
{
    return slice_of(json);
}

/* It is refused, and this is told. */
static void check_wrong(const char *json, const char *should)
{
    struct tasks_body body;
    char detail[TASKS_DETAIL] = "";
    CHECK_INT(tasks_body_read(&body, text(json), START_MS, detail), STATUS_INVALID);
    CHECK_TEXT(detail, should);
    tasks_body_clear(&body);
}

TEST(a_name_is_enough)
{
    UNUSED;
    scoped_in(tasks_body) body;
    char detail[TASKS_DETAIL];
    CHECK_INT(tasks_body_read(&body, text("{\"task_name\":\"a.b\"}"), START_MS, detail), 0);
    CHECK_TEXT(body.task.task, "a.b");
    CHECK(!body.task.id && !body.task.callback && !body.task.reuse && !body.task.owner);
    CHECK_INT(body.task.input.size, 0);
    CHECK_INT(body.task.priority, GANTRY_NORMAL);
    CHECK_INT(body.task.schedule_to_start_ms, START_MS);
}

TEST(everything_is_taken)
{
    UNUSED;
    scoped_in(tasks_body) body;
    char detail[TASKS_DETAIL];
    const char *json = "{\"task_name\":\"a.b\",\"task_id\":\"t1\",\"callback\":\"http://h/x\","
                       "\"input_data\":{\"n\":1},\"reuse\":\"input\",\"priority\":\"low\","
                       "\"timeout_ms\":4294967295,\"delay_ms\":2,\"schedule_to_start_ms\":0,"
                       "\"schedule_to_close_ms\":4,\"owner\":\"me\",\"other\":[]}";
    CHECK_INT(tasks_body_read(&body, text(json), START_MS, detail), 0);
    CHECK_TEXT(body.task.id, "t1");
    CHECK_TEXT(body.task.callback, "http://h/x");
    CHECK_TEXT(body.task.reuse, "input");
    CHECK_INT(body.task.priority, GANTRY_LOW);
    CHECK_INT(body.task.timeout_ms, UINT32_MAX);
    CHECK_INT(body.task.delay_ms, 2);
    CHECK_INT(body.task.schedule_to_start_ms, 0);
    CHECK_INT(body.task.schedule_to_close_ms, 4);
    assert_null(body.task.owner);
    struct slice n;
    CHECK(codec_find(slice_make(body.task.input.data, body.task.input.size), "n", &n));
}

TEST(force_is_reuse_never)
{
    UNUSED;
    scoped_in(tasks_body) body;
    char detail[TASKS_DETAIL];
    const char *json = "{\"task_name\":\"a.b\",\"reuse\":\"name\",\"force\":true}";
    CHECK_INT(tasks_body_read(&body, text(json), START_MS, detail), 0);
    CHECK_TEXT(body.task.reuse, "never");
}

TEST(what_is_wrong_is_told)
{
    UNUSED;
    check_wrong("", "task_name不能为空");
    check_wrong("[]", "参数验证失败: the body is to be a JSON object");
    check_wrong("{\"task_name\":\"\"}", "task_name不能为空");
    check_wrong(
        "{\"task_name\":\"ab\"}",
        "参数验证失败: task_name: ab must be service.method of [a-z0-9_], at most 64 bytes, "
        "32 of them service");
    check_wrong("{\"task_name\":\"a.b\",\"callback\":\"ftp://h\"}", "无效的callback URL格式");
    check_wrong("{\"task_name\":\"a.b\",\"callback\":5}", "无效的callback URL格式");
    check_wrong("{\"task_name\":\"a.b\",\"input_data\":[]}",
                "参数验证失败: input_data: must be an object");
    check_wrong("{\"task_name\":\"a.b\",\"timeout_ms\":4294967296}",
                "参数验证失败: timeout_ms: must be a whole number from 0 to 4294967295");
    check_wrong("{\"task_name\":\"a.b\",\"input_data\":{\"a\":[[[[[[[[[[[1]]]]]]]]]]]}}",
                "参数验证失败: input_data: is nested deeper than 11 levels");
}

TEST(a_key_is_printable)
{
    UNUSED;
    char longest[TASKS_KEY_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[TASKS_KEY_MAX + 1] = '\0';
    CHECK(!tasks_key_valid(longest));
    longest[TASKS_KEY_MAX] = '\0';
    CHECK(tasks_key_valid(longest));
    CHECK(tasks_key_valid("a b~"));
    CHECK(!tasks_key_valid(""));
    CHECK(!tasks_key_valid("a\n"));
    CHECK(!tasks_key_valid("\xc3\xa9"));
}

static struct tasks_ticket ticket(const char *key, const char *id, const char *task)
{
    struct tasks_ticket made;
    CHECK_INT(tasks_ticket(key, id, task, &made), 0);
    return made;
}

static bool same(struct tasks_ticket a, struct tasks_ticket b)
{
    return memcmp(a.token, b.token, sizeof a.token) == 0 && strcmp(a.id, b.id) == 0;
}

TEST(a_ticket_is_of_key_id_and_task)
{
    UNUSED;
    /* sha256("k\nt1\na.b") */
    static const uint8_t token[] = { 0xa0, 0xd4, 0x81, 0xc9, 0x71, 0x2d, 0x4f, 0x30,
                                     0xd6, 0xcf, 0x61, 0xb3, 0xb7, 0xbc, 0x07, 0x1c };
    assert_memory_equal(ticket("k", "t1", "a.b").token, token, sizeof token);
    CHECK(same(ticket("k", "t1", "a.b"), ticket("k", "t1", "a.b")));
    CHECK(!same(ticket("k", "t1", "a.b"), ticket("k", "t2", "a.b")));
    CHECK(!same(ticket("k", "t1", "a.b"), ticket("k", "t1", "a.c")));
    CHECK(!same(ticket("k", "t1", "a.b"), ticket("l", "t1", "a.b")));
    CHECK(!same(ticket("kt", "1", "a.b"), ticket("k", "t1", "a.b")));
}

TEST(a_ticket_without_an_id_makes_one)
{
    UNUSED;
    const struct tasks_ticket made = ticket("k", NULL, "a.b");
    CHECK_INT(strlen(made.id), MINT_UUID_TEXT - 1);
    CHECK(made.id[14] == '4');
    CHECK(same(made, ticket("k", NULL, "a.b")));
    CHECK(strcmp(made.id, ticket("k", NULL, "a.c").id) != 0);
    CHECK(strcmp(made.id, ticket("l", NULL, "a.b").id) != 0);
    assert_memory_equal(made.token, ticket("k", made.id, "a.b").token, sizeof made.token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_name_is_enough),
        HOLDS(everything_is_taken),
        HOLDS(force_is_reuse_never),
        HOLDS(what_is_wrong_is_told),
        HOLDS(a_key_is_printable),
        HOLDS(a_ticket_is_of_key_id_and_task),
        HOLDS(a_ticket_without_an_id_makes_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
