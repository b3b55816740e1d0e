#include "proto/context.h"

#include "common/scoped.h"
#include "proto/client.h"
#include "proto/json.h"
#include "tests/unit/test.h"

#define AT_MS UINT64_C(1769828400123) /* 2026-01-31T03:00:00.123Z */
#define AT_TEXT "2026-01-31T03:00:00.123Z"

/* A record of JSON that names the fields of the wire, as the broker would send it. */
static gantry_record_t *record_of(const char *text)
{
    msgpack_sbuffer bytes;
    msgpack_packer pk;
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&pk, &bytes, msgpack_sbuffer_write);
    CHECK_INT(json_pack_value(value, &pk), 0);
    json_decref(value);
    gantry_record_t *record = NULL;
    CHECK_INT(record_new(slice_make(bytes.data, bytes.size), &record), 0);
    msgpack_sbuffer_destroy(&bytes);
    return record;
}

/* value's text; takes it. */
static void check_json(json_t *value, const char *should)
{
    scoped_text char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    CHECK_TEXT(text, should);
}

static const char three[] =
    "{'id':'a','status':'failed','storage_path':'/share/workflows/a','created_ms':1769828400123,"
    "'stages':{"
    "'ffmpeg.extract_audio':{'state':'completed','created_ms':1769828400123,"
    "'started_ms':1769828401000,'ended_ms':1769828402500,'input':{'video_path':'/v.mp4'},"
    "'output':{'audio_path':'/a.wav'},'callback':'http://one/'},"
    "'x.second':{'state':'failed','created_ms':1769828403000,'started_ms':1769828403000,"
    "'ended_ms':1769828403250,'error':{'code':'FAILED','message':'no such "
    "voice','field':'','exit':1}},"
    "'x.third':{'state':'running','created_ms':1769828403100,'started_ms':1769828403200,"
    "'input':{'n':1}}}}";

/* Texts are easier to read with ' for ". */
static gantry_record_t *quoted(const char *text)
{
    scoped_text char *copy = strdup(text);
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    return record_of(copy);
}

TEST(every_state_has_its_names)
{
    UNUSED;
    static const struct {
        const char *state, *status, *stage;
        bool final;
    } rows[] = {
        { "scheduled", "pending", "PENDING", false },
        { "pending", "pending", "PENDING", false },
        { "running", "running", "RUNNING", false },
        { "cancelling", "running", "RUNNING", false },
        { "completed", "completed", "SUCCESS", true },
        { "skipped", "completed", "SKIPPED", true },
        { "failed", "failed", "FAILED", true },
        { "quarantined", "failed", "FAILED", true },
        { "cancelled", "cancelled", "CANCELLED", true },
        { "", "pending", "PENDING", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_TEXT(context_status(rows[i].state), rows[i].status);
        CHECK_TEXT(context_stage_status(rows[i].state), rows[i].stage);
        CHECK_INT(context_is_final(rows[i].state), rows[i].final);
    }
}

TEST(times_are_utc_with_milliseconds)
{
    UNUSED;
    char text[32];
    CHECK_TEXT(context_time(AT_MS, text), AT_TEXT);
    CHECK_TEXT(context_time(1, text), "1970-01-01T00:00:00.001Z");
    CHECK_TEXT(context_time(0, text), "");
    CHECK_TEXT(context_time(UINT64_MAX, text), "");
}

TEST(the_newest_stage_is_the_one_that_something_happened_to_last)
{
    UNUSED;
    scoped(gantry_record) record = quoted(three);
    CHECK_TEXT(context_newest(record)->task, "x.second");
    scoped(gantry_record) bare = quoted("{'id':'a','status':'pending','stages':{}}");
    assert_null(context_newest(bare));
}

TEST(a_context_keeps_all_stages_and_an_error_is_one_stages)
{
    UNUSED;
    scoped(gantry_record) record = quoted(three);
    json_t *context = NULL;
    CHECK_INT(context_of(record, "ffmpeg.extract_audio", false, &context), 0);
    check_json(
        context,
        "{\"workflow_id\":\"a\",\"create_at\":\"" AT_TEXT "\",\"input_params\":{"
        "\"task_name\":\"ffmpeg.extract_audio\",\"input_data\":{\"video_path\":\"/v.mp4\"},"
        "\"callback_url\":\"http://one/\"},\"shared_storage_path\":\"/share/workflows/a\","
        "\"stages\":{\"ffmpeg.extract_audio\":{\"status\":\"SUCCESS\",\"input_params\":{"
        "\"video_path\":\"/v.mp4\"},\"output\":{\"audio_path\":\"/a.wav\"},\"error\":null,"
        "\"duration\":1.5},\"x.second\":{\"status\":\"FAILED\",\"input_params\":{},\"output\":{},"
        "\"error\":\"no such voice\",\"duration\":0.25},\"x.third\":{\"status\":\"RUNNING\","
        "\"input_params\":{\"n\":1},\"output\":{},\"error\":null,\"duration\":0.0}},"
        "\"error\":null}");
}

TEST(without_a_stage_named_it_is_about_the_newest)
{
    UNUSED;
    scoped(gantry_record) record = quoted(three);
    static const char *const asked[] = { NULL, "x.unknown" };
    for (size_t i = 0; i < 2; i++) {
        json_t *context = NULL;
        CHECK_INT(context_of(record, asked[i], true, &context), 0);
        CHECK_INT(json_object_size(json_object_get(context, "stages")), 3);
        CHECK_TEXT(json_string_value(json_object_get(context, "error")), "no such voice");
        json_t *params = json_object_get(context, "input_params");
        CHECK_TEXT(json_string_value(json_object_get(params, "task_name")), "x.second");
        CHECK(json_is_null(json_object_get(params, "callback_url")));
        json_decref(context);
    }
}

TEST(only_the_stage_asked_for)
{
    UNUSED;
    scoped(gantry_record) record = quoted(three);
    json_t *context = NULL;
    CHECK_INT(context_of(record, "x.third", true, &context), 0);
    json_t *stages = json_object_get(context, "stages");
    CHECK_INT(json_object_size(stages), 1);
    CHECK(json_is_object(json_object_get(stages, "x.third")));
    CHECK(json_is_null(json_object_get(context, "error")));
    json_decref(context);
}

TEST(a_record_without_stages_is_a_context_too)
{
    UNUSED;
    scoped(gantry_record) record = quoted("{'id':'a','status':'pending','stages':{}}");
    json_t *context = NULL;
    CHECK_INT(context_of(record, NULL, false, &context), 0);
    check_json(context,
               "{\"workflow_id\":\"a\",\"create_at\":\"\",\"input_params\":{\"task_name\":null,"
               "\"input_data\":{},\"callback_url\":null},\"shared_storage_path\":\"\","
               "\"stages\":{},\"error\":null}");
}

TEST(what_a_strange_worker_wrote_spoils_nothing)
{
    UNUSED;
    scoped(gantry_record) record = quoted(
        "{'id':'a','status':'failed','stages':{'x.y':{'state':'failed','output':[1],'input':7,"
        "'error':{'code':'FAILED'},'started_ms':20,'ended_ms':10}}}");
    json_t *context = NULL;
    CHECK_INT(context_of(record, NULL, false, &context), 0);
    json_t *stage = json_object_get(json_object_get(context, "stages"), "x.y");
    check_json(json_incref(stage), "{\"status\":\"FAILED\",\"input_params\":{},\"output\":{},"
                                   "\"error\":\"FAILED\",\"duration\":0.0}");
    json_decref(context);
}

TEST(links_of_objects_are_listed_with_their_types)
{
    UNUSED;
    scoped(gantry_record) record =
        quoted("{'id':'a','status':'completed','stages':{"
               "'x.y':{'state':'completed','output':{'audio_path':'/a.wav',"
               "'audio_minio_url':'http://m:9000/b/a/Voice.WAV?X-Amz=1/2',"
               "'all_minio_url':['http://m/b/1.srt',7,'','minio://b/frames/','http://m/b/.json'],"
               "'archive_url':'http://m/x.zip'}},"
               "'x.z':{'state':'completed','output':{'video_minio_url':'http://m/b/v.mp4'}}}}");
    json_t *files = NULL;
    CHECK_INT(context_files(record, "x.y", &files), 0);
    check_json(files, "[{\"name\":\"Voice.WAV\",\"url\":\"http://m:9000/b/a/Voice.WAV?X-Amz=1/2\","
                      "\"type\":\"audio\",\"size\":null},"
                      "{\"name\":\"1.srt\",\"url\":\"http://m/b/1.srt\",\"type\":\"subtitle\","
                      "\"size\":null},"
                      "{\"name\":\"frames\",\"url\":\"minio://b/frames/\",\"type\":\"unknown\","
                      "\"size\":null},"
                      "{\"name\":\".json\",\"url\":\"http://m/b/.json\",\"type\":\"unknown\","
                      "\"size\":null}]");
    CHECK_INT(context_files(record, NULL, &files), 0);
    CHECK_INT(json_array_size(files), 5);
    json_decref(files);
    CHECK_INT(context_files(record, "x.none", &files), 0);
    check_json(files, "[]");
}

TEST(reuse_is_told_as_hit_wait_or_miss)
{
    UNUSED;
    const struct gantry_stage stage = { .task = "x.y", .ended_ms = AT_MS };
    check_json(context_reuse("hit", "x.y", &stage),
               "{\"reuse_hit\":true,\"task_name\":\"x.y\",\"source\":\"redis\",\"cached_at\":"
               "\"" AT_TEXT "\"}");
    check_json(context_reuse("wait", "x.y", NULL),
               "{\"reuse_hit\":true,\"task_name\":\"x.y\",\"source\":\"redis\",\"state\":"
               "\"pending\"}");
    check_json(context_reuse("miss", "x.y", NULL), "{\"reuse_hit\":false,\"task_name\":\"x.y\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(every_state_has_its_names),
        HOLDS(times_are_utc_with_milliseconds),
        HOLDS(the_newest_stage_is_the_one_that_something_happened_to_last),
        HOLDS(a_context_keeps_all_stages_and_an_error_is_one_stages),
        HOLDS(without_a_stage_named_it_is_about_the_newest),
        HOLDS(only_the_stage_asked_for),
        HOLDS(a_record_without_stages_is_a_context_too),
        HOLDS(what_a_strange_worker_wrote_spoils_nothing),
        HOLDS(links_of_objects_are_listed_with_their_types),
        HOLDS(reuse_is_told_as_hit_wait_or_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
