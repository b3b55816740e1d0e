#include "tests/unit/test.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/json.h"
#include "services/state/reference.h"
#include "services/state/upstream.h"

#define REF(stage, path) "${{ stages." stage ".output." path " }}"

/* Values are written and compared as JSON. */
static struct slice packed(msgpack_sbuffer *buffer, const char *json)
{
    msgpack_packer pk;
    msgpack_sbuffer_init(buffer);
    msgpack_packer_init(&pk, buffer, msgpack_sbuffer_write);
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    CHECK(value);
    CHECK_INT(json_pack_value(value, &pk), 0);
    json_decref(value);
    return slice_make(buffer->data, buffer->size);
}

static const char *const outputs[] = {
    "{\"path\": \"/a.wav\", \"n\": -7, \"big\": 18446744073709551615.0, \"third\": 0.1, \"yes\": "
    "true,"
    " \"nil\": null, \"empty\": \"\", \"list\": [1, [2, {\"k\": \"deep\"}]], \"map\": {\"x\": 1},"
    " \"loop\": \"" REF("a.old", "path") "\"}",
    "{\"path\": \"/new.wav\", \"other\": \"\"}",
    "{\"path\": \"/skipped.wav\"}",
};
enum { OUTPUTS = sizeof outputs / sizeof *outputs };

/* Stages in most states, and two inputs that others stand in for. */
static int resolve(const char *input, size_t most, msgpack_sbuffer *to, struct refusal *why)
{
    msgpack_sbuffer buffers[OUTPUTS + 1];
    struct slice bytes[OUTPUTS];
    for (size_t i = 0; i < OUTPUTS; i++)
        bytes[i] = packed(&buffers[i], outputs[i]);
    const struct slice given = packed(&buffers[OUTPUTS], input);
    const struct upstream_stage stages[] = {
        { SLICE("a.old"), STATE_COMPLETED, 1000, bytes[0] },
        { SLICE("a.new"), STATE_COMPLETED, 2000, bytes[1] },
        { SLICE("a.skipped"), STATE_SKIPPED, 3000, bytes[2] },
        { SLICE("a.failed"), STATE_FAILED, 4000, { 0 } },
        { SLICE("a.bare"), STATE_COMPLETED, 5000, { 0 } },
        { SLICE("a.pending"), STATE_PENDING, 0, { 0 } },
        { SLICE("a.cancelling"), STATE_CANCELLING, 0, { 0 } },
        { SLICE("a.scheduled"), STATE_SCHEDULED, 0, { 0 } },
    };
    const struct upstream_input inputs[] = { { SLICE("audio"), SLICE("other, path") },
                                             { SLICE("count"), SLICE("none,n") } };
    const struct upstream self = { .task = SLICE("b.self"),
                                   .stages = stages,
                                   .stages_count = sizeof stages / sizeof *stages,
                                   .inputs = inputs,
                                   .inputs_count = 2,
                                   .most = most };
    int r = upstream_resolve(&self, given, to, why);
    for (size_t i = 0; i <= OUTPUTS; i++)
        msgpack_sbuffer_destroy(&buffers[i]);
    return r;
}

/* audio and count are given, so that nothing stands in. */
#define GIVEN "\"audio\": \"g\", \"count\": 1"

static void check_value(const char *value, const char *should)
{
    char input[1024];
    struct refusal why = { 0 };
    msgpack_sbuffer to;
    json_t *is = NULL;
    msgpack_sbuffer_init(&to);
    snprintf(input, sizeof input, "{" GIVEN ", \"x\": %s}", value);
    const int r = resolve(input, 10000, &to, &why);
    if (r)
        print_error("%s: %d %s %s\n", value, r, why.field, why.message);
    CHECK_INT(r, 0);
    CHECK_INT(codec_check(slice_make(to.data, to.size)), 0);
    CHECK_INT(json_from_packed(slice_make(to.data, to.size), &is), 0);
    CHECK_INT(json_object_size(is), 3);
    scoped_text char *line = json_dumps(json_object_get(is, "x"), JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK_TEXT(line, should);
    json_decref(is);
    msgpack_sbuffer_destroy(&to);
}

TEST(references_become_what_they_mean)
{
    UNUSED;
    static const struct {
        const char *value, *should;
    } rows[] = {
        /* alone: of whatever type */
        { "\"" REF("a.old", "path") "\"", "\"/a.wav\"" },
        { "\"${{stages.a.old.output.n}}\"", "-7" },
        { "\"${{    stages.a.old.output.n  }}\"", "-7" },
        { "\"" REF("a.old", "third") "\"", "0.10000000000000001" }, /* as jansson writes 0.1 */
        { "\"" REF("a.old", "yes") "\"", "true" },
        { "\"" REF("a.old", "nil") "\"", "null" },
        { "\"" REF("a.old", "empty") "\"", "\"\"" },
        { "\"" REF("a.old", "map") "\"", "{\"x\":1}" },
        { "\"" REF("a.old", "map.x") "\"", "1" },
        { "\"" REF("a.old", "list.0") "\"", "1" },
        { "\"" REF("a.old", "list.1.1.k") "\"", "\"deep\"" },
        { "\"" REF("a.skipped", "path") "\"", "\"/skipped.wav\"" },
        /* what an output says is said as it is */
        { "\"" REF("a.old", "loop") "\"", "\"" REF("a.old", "path") "\"" },
        /* within a text */
        { "\"<" REF("a.old", "path") "|" REF("a.new", "path") ">\"", "\"</a.wav|/new.wav>\"" },
        { "\"" REF("a.old", "n") REF("a.old", "n") "\"", "\"-7-7\"" },
        { "\" " REF("a.old", "third") "\"", "\" 0.1\"" },
        { "\"" REF("a.old", "big") ".\"", "\"1.8446744073709552e+19.\"" },
        { "\"" REF("a.old", "empty") REF("a.old", "loop") "\"", "\"" REF("a.old", "path") "\"" },
        /* anywhere in a value, but not in keys */
        { "[\"" REF("a.old", "n") "\", {\"k\": [\"" REF("a.old", "list") "\"]}, []]",
          "[-7,{\"k\":[[1,[2,{\"k\":\"deep\"}]]]},[]]" },
        { "{\"" REF("a.old", "n") "\": \"" REF("a.old", "n") "\", \"z\": null}",
          "{\"" REF("a.old", "n") "\":-7,\"z\":null}" },
        /* nothing of it */
        { "\"$ { ${ {{ }} $\"", "\"$ { ${ {{ }} $\"" },
        { "\"\"", "\"\"" },
        { "[[], {}, 1.5, -1, false]", "[[],{},1.5,-1,false]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_value(rows[i].value, rows[i].should);
}

static void check_refusal(const char *value, int status, const char *says)
{
    char input[1024];
    struct refusal why = { 0 };
    msgpack_sbuffer to;
    msgpack_sbuffer_init(&to);
    snprintf(input, sizeof input, "{" GIVEN ", \"x\": [%s]}", value);
    const int r = resolve(input, 10000, &to, &why);
    if (r != status || !strstr(why.message, says))
        print_error("%s: %d %s\n", value, r, why.message);
    CHECK_INT(r, status);
    CHECK_TEXT(why.field, status == STATUS_BUSY ? "" : "input.x");
    CHECK(strstr(why.message, says));
    msgpack_sbuffer_destroy(&to);
}

TEST(what_cannot_be_had_is_named)
{
    UNUSED;
    static const struct {
        const char *value;
        int status;
        const char *says;
    } rows[] = {
        { REF("a.pending", "x"), STATUS_BUSY, "" },
        { "text " REF("a.cancelling", "x"), STATUS_BUSY, "" },
        { REF("a.old", "path") REF("a.scheduled", "x"), STATUS_BUSY, "" },
        { REF("a.missing", "x"), STATUS_INVALID, "the task has no such stage" },
        { REF("b.self", "x"), STATUS_INVALID, "this is the stage itself" },
        { REF("a.failed", "x"), STATUS_INVALID, "the stage is failed" },
        { REF("a.bare", "x"), STATUS_INVALID, "the stage is completed, without such an output" },
        { REF("a.skipped", "x"), STATUS_INVALID, "the stage is skipped, without such an output" },
        { REF("a.old", "path.x"), STATUS_INVALID, "without such an output" },
        { REF("a.old", "list.2"), STATUS_INVALID, "without such an output" },
        { REF("a.old", "list.-1"), STATUS_INVALID, "without such an output" },
        { REF("a.old", "list.4294967296"), STATUS_INVALID, "without such an output" },
        { "a " REF("a.old", "list"), STATUS_INVALID, "must be a text or a number" },
        { "a " REF("a.old", "yes"), STATUS_INVALID, "must be a text or a number" },
        { "a " REF("a.old", "nil"), STATUS_INVALID, "must be a text or a number" },
        { REF("a.old", "path") " ${{ }}", STATUS_INVALID, "${{ }}: must be ${{ stages." },
        { "${{ stages.a.old.output.path", STATUS_INVALID, "must be ${{ stages." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        snprintf(text, sizeof text, "\"%s\"", rows[i].value);
        check_refusal(text, rows[i].status, rows[i].says);
    }
}

static void check_inputs(const char *input, const char *should)
{
    struct refusal why = { 0 };
    msgpack_sbuffer to;
    json_t *is = NULL;
    msgpack_sbuffer_init(&to);
    CHECK_INT(resolve(input, 10000, &to, &why), 0);
    CHECK_INT(json_from_packed(slice_make(to.data, to.size), &is), 0);
    scoped_text char *line = json_dumps(is, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK_TEXT(line, should);
    json_decref(is);
    msgpack_sbuffer_destroy(&to);
}

TEST(the_newest_output_of_the_best_name_stands_in)
{
    UNUSED;
    /* other is nobody's, as "" is nothing; a skipped stage's path does not count */
    check_inputs("{}", "{\"audio\":\"/new.wav\",\"count\":-7}");
    check_inputs("{\"audio\": null, \"y\": null}",
                 "{\"audio\":\"/new.wav\",\"count\":-7,\"y\":null}");
    check_inputs("{\"audio\": \"mine\", \"count\": 0}", "{\"audio\":\"mine\",\"count\":0}");
}

TEST(bounds_are_kept)
{
    UNUSED;
    struct refusal why = { 0 };
    msgpack_sbuffer to;
    msgpack_sbuffer_init(&to);
    CHECK_INT(resolve("{}", 20, &to, &why), STATUS_TOO_LARGE);
    CHECK_INT(why.limit, 20);
    msgpack_sbuffer_clear(&to);
    CHECK_INT(resolve("{\"x\": \"" REF("a.old", "path") REF("a.old", "path") "\"}", 15, &to, &why),
              STATUS_TOO_LARGE);
    CHECK_TEXT(why.field, "input.x");
    CHECK_INT(why.status, STATUS_TOO_LARGE);
    msgpack_sbuffer_destroy(&to);
    /* the input map, six lists, and a value of four levels: eleven; and one more */
    check_value("[[[[[[\"" REF("a.old", "list") "\"]]]]]]", "[[[[[[[1,[2,{\"k\":\"deep\"}]]]]]]]]");
    check_refusal("[[[[[[[\"" REF("a.old", "list") "\"]]]]]]]", STATUS_TOO_LARGE, "levels");
}

TEST(no_more_references_than_there_may_be)
{
    UNUSED;
    static const char one[] = "${{ stages.a.old.output.n }}";
    char text[REFERENCES_MAX * sizeof one + 2] = "\"";
    size_t size = 1;
    uint32_t count = 0;
    struct refusal why = { 0 };
    msgpack_sbuffer buffer;
    for (int i = 0; i < REFERENCES_MAX; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s", one);
    snprintf(text + size, sizeof text - size, "\"");
    const struct slice value = packed(&buffer, text);
    CHECK_INT(reference_check(value, &count, &why), 0);
    CHECK_INT(count, REFERENCES_MAX);
    CHECK_INT(reference_check(value, &count, &why), STATUS_INVALID);
    CHECK(strstr(why.message, "64"));
    msgpack_sbuffer_destroy(&buffer);
}

TEST(a_value_says_whether_it_refers)
{
    UNUSED;
    static const struct {
        const char *json;
        uint32_t count;
        bool possible, whole;
    } rows[] = {
        { "\"" REF("a.b", "c") "\"", 1, true, true },
        { "\" " REF("a.b", "c") "\"", 1, true, false },
        { "\"" REF("a.b", "c") REF("a.b", "c") "\"", 2, true, false },
        { "[{\"k\": [\"x" REF("a.b", "c") "\"]}]", 1, true, false },
        { "{\"" REF("a.b", "c") "\": 1}", 0, true, false }, /* a key */
        { "\"$ {{ ${\"", 0, true, false },
        { "36", 0, true, false }, /* a byte that reads $ */
        { "[]", 0, false, false },
        { "\"text\"", 0, false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        msgpack_sbuffer buffer;
        uint32_t count = 0;
        struct refusal why = { 0 };
        const struct slice value = packed(&buffer, rows[i].json);
        CHECK_INT(reference_check(value, &count, &why), 0);
        CHECK_INT(count, rows[i].count);
        CHECK_INT(reference_possible(value), rows[i].possible);
        CHECK_INT(reference_whole(value), rows[i].whole);
        msgpack_sbuffer_destroy(&buffer);
    }
    CHECK(!reference_possible((struct slice){ 0 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(references_become_what_they_mean),
        HOLDS(what_cannot_be_had_is_named),
        HOLDS(the_newest_output_of_the_best_name_stands_in),
        HOLDS(bounds_are_kept),
        HOLDS(no_more_references_than_there_may_be),
        HOLDS(a_value_says_whether_it_refers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
