#include "services/worker/callback_body.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/client.h"
#include "proto/json.h"
#include "tests/unit/test.h"

#define NOW_MS INT64_C(1769828400123) /* 2026-01-31T03:00:00.123Z */

/* Texts are easier to read with ' for ". */
static void pack(const char *text, msgpack_sbuffer *ret_bytes)
{
    msgpack_packer pk;
    json_error_t error;
    scoped_text char *copy = strdup(text);
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_t *value = json_loads(copy, 0, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    msgpack_sbuffer_init(ret_bytes);
    msgpack_packer_init(&pk, ret_bytes, msgpack_sbuffer_write);
    CHECK_INT(json_pack_value(value, &pk), 0);
    json_decref(value);
}

static gantry_record_t *record_of(const char *text)
{
    msgpack_sbuffer bytes;
    gantry_record_t *record = NULL;
    pack(text, &bytes);
    CHECK_INT(record_new(slice_make(bytes.data, bytes.size), &record), 0);
    msgpack_sbuffer_destroy(&bytes);
    return record;
}

static const char two[] =
    "{'id':'a','status':'completed','storage_path':'/share/a','created_ms':1769828400123,"
    "'stages':{'x.one':{'state':'completed','created_ms':1,'started_ms':1000,'ended_ms':"
    "1769828400123,"
    "'input':{'name':'\xe4\xb8\xad'},'output':{'f_minio_url':'http://m/b/a.mp4'},'callback':'http:/"
    "/last/'},"
    "'x.two':{'state':'failed','created_ms':5,'error':{'code':'FAILED','message':'no'},"
    "'output':{'g_minio_url':'http://m/b/b.txt'}}}}";

#define STAGE_ONE                                                         \
    "\"x.one\": {\"status\": \"SUCCESS\", \"input_params\": {\"name\": "  \
    "\"\\u4e2d\"}, \"output\": {\"f_minio_url\": \"http://m/b/a.mp4\"}, " \
    "\"error\": null, \"duration\": 1769828399.123}"
#define STAGE_TWO                                                            \
    "\"x.two\": {\"status\": \"FAILED\", \"input_params\": {}, \"output\": " \
    "{\"g_minio_url\": \"http://m/b/b.txt\"}, \"error\": \"no\", \"duration\": 0.0}"
#define HEAD                                                                   \
    "{\"task_id\": \"a\", \"status\": \"completed\", \"result\": "             \
    "{\"workflow_id\": \"a\", \"create_at\": \"2026-01-31T03:00:00.123Z\", "   \
    "\"input_params\": {\"task_name\": \"x.one\", \"input_data\": {\"name\": " \
    "\"\\u4e2d\"}, \"callback_url\": \"http://mine/\"}, "                      \
    "\"shared_storage_path\": \"/share/a\", \"stages\": {"
#define TIME "\"timestamp\": \"2026-01-31T03:00:00.123Z\""
#define FILE_ONE                                                      \
    "{\"name\": \"a.mp4\", \"url\": \"http://m/b/a.mp4\", \"type\": " \
    "\"video\", \"size\": null}"
#define FILE_TWO                                                      \
    "{\"name\": \"b.txt\", \"url\": \"http://m/b/b.txt\", \"type\": " \
    "\"text\", \"size\": null}"

static void check_body(const char *reuse, bool only_task, bool always, const char *should)
{
    scoped(gantry_record) record = record_of(two);
    const struct callback_input input = { .task_id = SLICE("a"),
                                          .task = SLICE("x.one"),
                                          .url = SLICE("http://mine/"),
                                          .status = SLICE("completed"),
                                          .reuse = slice_of(reuse) };
    const struct callback_body_row row = { &input, record, only_task, always, NOW_MS };
    scoped_text char *text = NULL;
    size_t size = 0;
    CHECK_INT(callback_body(&row, &text, &size), 0);
    CHECK_TEXT(text, should);
    CHECK_INT(size, strlen(should));
}

TEST(a_runs_own_callback_has_no_reuse_info)
{
    UNUSED;
    check_body("miss", false, false,
               HEAD STAGE_ONE ", " STAGE_TWO "}, \"error\": null}, " TIME
                              ", \"minio_files\": [" FILE_ONE ", " FILE_TWO "]}");
}

TEST(a_hits_callback_has)
{
    UNUSED;
    check_body("hit", false, false,
               HEAD STAGE_ONE
               ", " STAGE_TWO "}, \"error\": null, \"reuse_info\": {\"reuse_hit\": true, "
               "\"task_name\": \"x.one\", \"source\": \"redis\", \"cached_at\": "
               "\"2026-01-31T03:00:00.123Z\"}}, " TIME ", \"minio_files\": [" FILE_ONE ", " FILE_TWO
               "]}");
}

TEST(settings_ask_for_less_and_for_more)
{
    UNUSED;
    check_body("miss", true, true,
               HEAD STAGE_ONE "}, \"error\": null, \"reuse_info\": {\"reuse_hit\": false, "
                              "\"task_name\": \"x.one\"}}, " TIME ", \"minio_files\": [" FILE_ONE
                              "]}");
}

TEST(without_links_there_is_no_list_of_them)
{
    UNUSED;
    scoped(gantry_record) record =
        record_of("{'id':'a','status':'failed','stages':{'x.y':{'state':'failed'}}}");
    const struct callback_input input = { SLICE("a"),      SLICE("x.y"),  SLICE("http://m/"),
                                          SLICE("failed"), SLICE("miss"), false };
    const struct callback_body_row row = { &input, record, false, false, NOW_MS };
    scoped_text char *text = NULL;
    CHECK_INT(callback_body(&row, &text, NULL), 0);
    assert_null(strstr(text, "minio_files"));
    assert_non_null(strstr(text, "\"status\": \"failed\", \"result\": "));
}

TEST(an_input_is_read_or_its_field_named)
{
    UNUSED;
    static const struct {
        const char *text;
        const char *field;
    } rows[] = {
        { "{'task_id':'a','task':'x.y','url':'http://h/"
          "','status':'failed','reuse':'hit','owned':true}",
          NULL },
        { "{'task_id':7,'task':'x.y','url':'http://h/"
          "','status':'failed','reuse':'hit','owned':true}",
          "task_id" },
        { "{'task_id':'../a','task':'x.y','url':'http://h/"
          "','status':'failed','reuse':'hit','owned':true}",
          "task_id" },
        { "{'task_id':'a','url':'http://h/','status':'failed','reuse':'hit','owned':true}",
          "task" },
        { "{'task_id':'a','task':'x','url':'http://h/"
          "','status':'failed','reuse':'hit','owned':true}",
          "task" },
        { "{'task_id':'a','task':'x.y','url':'ftp://h/"
          "','status':'failed','reuse':'hit','owned':true}",
          "url" },
        { "{'task_id':'a','task':'x.y','url':'http://h/"
          "','status':'SUCCESS','reuse':'hit','owned':true}",
          "status" },
        { "{'task_id':'a','task':'x.y','url':'http://h/"
          "','status':'failed','reuse':'wait','owned':true}",
          "reuse" },
        { "{'task_id':'a','task':'x.y','url':'http://h/"
          "','status':'failed','reuse':'hit','owned':1}",
          "owned" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct callback_input input = { .owned = false };
        const char *field = NULL;
        msgpack_sbuffer bytes;
        pack(rows[i].text, &bytes);
        CHECK_INT(callback_input_read(slice_make(bytes.data, bytes.size), &input, &field),
                  rows[i].field ? STATUS_INVALID : 0);
        if (rows[i].field)
            CHECK_TEXT(field, rows[i].field);
        else
            CHECK(slice_is(input.url, "http://h/") && input.owned);
        msgpack_sbuffer_destroy(&bytes);
    }
}

TEST(a_signature_is_of_the_time_and_the_body)
{
    UNUSED;
    char text[CALLBACK_SIGNATURE];
    CHECK(callback_sign("secret", 1769828400, SLICE("{\"a\": 1}"), text));
    /* hmac.new(b"secret", b'1769828400.{"a": 1}', "sha256").hexdigest() */
    CHECK_TEXT(text, "t=1769828400,v1="
                     "7a0b7d86744d58435d2db9dfebb6ae68ca90b69ab3976c59165f0fcb770f323e");
}

TEST(retry_after_is_seconds_or_a_date)
{
    UNUSED;
    static const struct {
        const char *value;
        int64_t wait_ms;
    } rows[] = {
        { "0", 0 },
        { "7", 7000 },
        { "3600", 3600000 },
        { "3601", 3600000 },
        { "99999999999999999999", 3600000 },
        { "Sat, 31 Jan 2026 03:00:10 GMT", 9877 },
        { "Saturday, 31-Jan-26 03:00:10 GMT", 9877 },
        { "Sat Jan 31 03:00:10 2026", 9877 },
        { "Sat, 31 Jan 2026 02:00:00 GMT", 0 },
        { "Sat, 31 Jan 2037 02:00:00 GMT", 3600000 },
        { "", -1 },
        { "soon", -1 },
        { "-5", -1 },
        { "1.5", -1 },
        { "5 s", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (callback_retry_after_ms(rows[i].value, NOW_MS) != rows[i].wait_ms)
            fail_msg("%s: %lld", rows[i].value,
                     (long long)callback_retry_after_ms(rows[i].value, NOW_MS));
}

TEST(waits_double_up_to_a_day_and_a_fifth_is_luck)
{
    UNUSED;
    CHECK_INT(callback_backoff_ms(2000, 0, 0), 2000);
    CHECK_INT(callback_backoff_ms(2000, 3, 0), 16000);
    CHECK_INT(callback_backoff_ms(2000, 0, 1), 2400);
    CHECK_INT(callback_backoff_ms(2000, 99, 0), 86400000);
    CHECK_INT(callback_backoff_ms(3600000, 99, 0.5), 95040000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_runs_own_callback_has_no_reuse_info),
        HOLDS(a_hits_callback_has),
        HOLDS(settings_ask_for_less_and_for_more),
        HOLDS(without_links_there_is_no_list_of_them),
        HOLDS(an_input_is_read_or_its_field_named),
        HOLDS(a_signature_is_of_the_time_and_the_body),
        HOLDS(retry_after_is_seconds_or_a_date),
        HOLDS(waits_double_up_to_a_day_and_a_fifth_is_luck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
