#include "tests/unit/test.h"

#include "proto/codec.h"
#include "services/state/record.h"

static msgpack_sbuffer bytes[4];

/* A value written by a function of this test, kept until the slot is used again. */
static struct slice packed(int slot, void (*write)(msgpack_packer *pk, int arg), int arg)
{
    msgpack_packer pk;
    msgpack_sbuffer_destroy(&bytes[slot]);
    msgpack_sbuffer_init(&bytes[slot]);
    msgpack_packer_init(&pk, &bytes[slot], msgpack_sbuffer_write);
    write(&pk, arg);
    return slice_make(bytes[slot].data, bytes[slot].size);
}

static void write_body(msgpack_packer *pk, int created)
{
    msgpack_pack_fix_uint64(pk, (uint64_t)created);
    msgpack_pack_uint8(pk, 1);
    msgpack_pack_fix_uint8(pk, 3);
    msgpack_pack_fix_uint16(pk, 1000);
    msgpack_pack_fix_uint32(pk, 250);
    msgpack_pack_map(pk, 4);
    pack_text(pk, "input");
    msgpack_pack_map(pk, 1);
    pack_text(pk, "n");
    msgpack_pack_int(pk, -7);
    pack_text(pk, "owner");
    pack_text(pk, "ann");
    pack_text(pk, "timeout_ms");
    msgpack_pack_int(pk, 5000);
    pack_text(pk, "priority");
    pack_text(pk, "high");
    pack_bin(pk, SLICE("0123456789abcdef"));
}

static void write_state(msgpack_packer *pk, int state)
{
    static const uint64_t numbers[] = { 2, 3, 1, 4 };
    msgpack_pack_array(pk, 12);
    msgpack_pack_int(pk, state);
    msgpack_pack_int(pk, 0); /* flags */
    for (size_t i = 0; i < 4; i++)
        msgpack_pack_uint64(pk, numbers[i]); /* generation, attempt, failures, crashes */
    msgpack_pack_int(pk, 1);                 /* priority */
    pack_text(pk, "00000000000000000000000000000000");
    pack_bin(pk, SLICE("0123456789ab"));
    msgpack_pack_int(pk, 1111);
    msgpack_pack_int(pk, 7); /* claim sequence */
    msgpack_pack_int(pk, 2222);
    msgpack_pack_map(pk, 4);
    pack_text(pk, "due_ms");
    msgpack_pack_fix_uint64(pk, 3333);
    pack_text(pk, "output");
    msgpack_pack_map(pk, 0);
    pack_text(pk, "worker");
    pack_text(pk, "w1");
    pack_text(pk, "progress");
    msgpack_pack_double(pk, 0.5);
}

/* Earlier attempts, as the functions keep them: the last of count crashed. */
static void write_history(msgpack_packer *pk, int count)
{
    for (int i = 1; i <= count; i++) {
        struct slice one = packed(1, write_state, i < count ? STATE_FAILED : STATE_QUARANTINED);
        const uint32_t size = (uint32_t)one.size;
        const char head[] = { (char)0xc6, (char)(size >> 24), (char)(size >> 16), (char)(size >> 8),
                              (char)size };
        msgpack_pack_bin_body(pk, head, sizeof head);
        msgpack_pack_bin_body(pk, one.data, one.size);
    }
}

static void end_bytes(void)
{
    for (int i = 0; i < 4; i++) {
        msgpack_sbuffer_destroy(&bytes[i]);
        msgpack_sbuffer_init(&bytes[i]);
    }
}

TEST(a_stage_is_read_from_its_two_fields)
{
    UNUSED;
    struct stage stage;
    CHECK(stage_read(SLICE("a.b"), packed(0, write_body, 1000),
                     packed(1, write_state, STATE_COMPLETED), (struct slice){ 0 }, &stage));
    CHECK_INT(stage.state, STATE_COMPLETED);
    CHECK(stage_ended(&stage));
    CHECK_SLICE(stage.told.state, "completed");
    CHECK_INT(stage.told.generation, 2);
    CHECK_INT(stage.told.attempt, 3);
    CHECK_INT(stage.told.failures, 1);
    CHECK_INT(stage.told.crashes, 4);
    CHECK_INT(stage.told.created_ms, 1000);
    CHECK_INT(stage.told.started_ms, 1111);
    CHECK_INT(stage.told.ended_ms, 2222);
    CHECK_SLICE(stage.told.priority, "high");
    CHECK_SLICE(stage.told.worker, "w1");
    CHECK(stage.told.progress > 0.49 && stage.told.progress < 0.51);
    CHECK_INT(stage.told.input.size, 4);
    CHECK_INT(stage.told.output.size, 1);
    CHECK_INT(stage.told.due_ms, 3333);
    CHECK_SLICE(stage.told.owner, "ann");
    CHECK_INT(stage.told.timeout_ms, 5000);
    CHECK_INT(stage.told.error.size, 0);

    struct body body;
    CHECK(body_read(packed(0, write_body, 1000), &body));
    CHECK_INT(body.timeout_ms, 5000);
    CHECK_INT(body.crashes_max, 3);
    CHECK_INT(body.failures_max, 1000);
    CHECK_INT(body.retry_ms, 250);
    CHECK_SLICE(body.owner, "ann");
    CHECK_INT(body.token.size, 16);
    end_bytes();
}

TEST(its_callback_is_the_newest_address)
{
    UNUSED;
    struct stage stage = { 0 };
    stage_read_callbacks(&stage, SLICE("\nhttp://a/\nhttp://b/?x"));
    CHECK_SLICE(stage.told.callback, "http://b/?x");
    CHECK_SLICE(stage.told.callback_id, "");
    stage_read_callbacks(&stage, SLICE("http://c/ callback-1f"));
    CHECK_SLICE(stage.told.callback, "http://c/");
    CHECK_SLICE(stage.told.callback_id, "callback-1f");
    static const char *const junk[] = {
        "", "\n", " ", "x", "\nftp://a/", "http://a/\xff", "\nhttp://a/\n"
    };
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        stage = (struct stage){ 0 };
        stage_read_callbacks(&stage, slice_of(junk[i]));
        CHECK_INT(stage.told.callback.size, 0);
    }
    stage_read_callbacks(&stage, SLICE("http://c/ ../x"));
    CHECK_SLICE(stage.told.callback, "http://c/");
    CHECK_INT(stage.told.callback_id.size, 0);
}

TEST(what_is_cut_off_is_no_stage)
{
    UNUSED;
    struct stage stage;
    const struct slice none = { 0 };
    struct slice body = packed(0, write_body, 1000), state = packed(1, write_state, STATE_FAILED);
    for (size_t size = 0; size < body.size; size++)
        CHECK(!stage_read(SLICE("a.b"), slice_make(body.data, size), state, none, &stage));
    for (size_t size = 0; size < state.size; size++)
        CHECK(!stage_read(SLICE("a.b"), body, slice_make(state.data, size), none, &stage));
    CHECK(!stage_read(SLICE("a.b"), SLICE("junk"), state, none, &stage));
    CHECK(!stage_read(SLICE("a.b"), body, SLICE("junk"), none, &stage));
    CHECK(!stage_read(SLICE("a.b"), body, packed(2, write_state, STATE_END), none, &stage));
    end_bytes();
}

TEST(the_status_comes_from_the_stages)
{
    UNUSED;
    static const struct {
        int states[3];
        const char *status;
    } rows[] = {
        { { STATE_COMPLETED, STATE_COMPLETED, STATE_SKIPPED }, "completed" },
        { { STATE_COMPLETED, STATE_FAILED, STATE_CANCELLED }, "failed" },
        { { STATE_QUARANTINED, STATE_SKIPPED, STATE_COMPLETED }, "failed" },
        { { STATE_COMPLETED, STATE_CANCELLED, STATE_COMPLETED }, "cancelled" },
        { { STATE_FAILED, STATE_PENDING, STATE_COMPLETED }, "pending" },
        { { STATE_FAILED, STATE_SCHEDULED, STATE_CANCELLED }, "pending" },
        { { STATE_PENDING, STATE_RUNNING, STATE_FAILED }, "running" },
        { { STATE_CANCELLING, STATE_PENDING, STATE_FAILED }, "running" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stage stages[3] = { 0 };
        for (size_t k = 0; k < 3; k++)
            stages[k].state = rows[i].states[k];
        CHECK_TEXT(record_status(stages, 3), rows[i].status);
    }
}

static void check_history(struct slice history, uint32_t should)
{
    struct reader reader;
    struct m_attempt attempt;
    struct slice value;
    uint32_t count;
    CHECK(codec_array(history, &reader, &count));
    CHECK_INT(count, should);
    for (uint32_t i = 1; i <= count; i++) {
        CHECK(reader_value(&reader, &value));
        CHECK_INT(message_decode(&m_attempt_layout, value, &attempt, NULL), 0);
        CHECK_SLICE(attempt.state, i < count ? "failed" : "crashed");
        CHECK_SLICE(attempt.worker, "w1");
        CHECK_INT(attempt.attempt, 3);
        CHECK_INT(attempt.started_ms, 1111);
        CHECK_INT(attempt.ended_ms, 2222);
    }
}

TEST(a_record_tells_everything)
{
    UNUSED;
    struct stage stages[2];
    struct slice state = packed(2, write_state, STATE_FAILED);
    struct slice history = packed(3, write_history, 3);
    CHECK(stage_read(SLICE("a.b"), packed(0, write_body, 2000), state, history, &stages[0]));
    CHECK(stage_read(SLICE("a.c"), packed(1, write_body, 1500), state, SLICE("junk"), &stages[1]));
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    CHECK(record_pack(SLICE("t1"), "/share", stages, 2, &pk));

    struct m_record record;
    struct m_stage told;
    struct slice value;
    struct slice whole = slice_make(buffer.data, buffer.size);
    CHECK_INT(codec_check(whole), 0);
    CHECK_INT(message_decode(&m_record_layout, whole, &record, NULL), 0);
    CHECK_SLICE(record.id, "t1");
    CHECK_SLICE(record.status, "failed");
    CHECK_SLICE(record.storage_path, "/share/t1");
    CHECK_INT(record.created_ms, 1500);
    CHECK(codec_find(record.stages, "a.c", &value));
    CHECK_INT(message_decode(&m_stage_layout, value, &told, NULL), 0);
    CHECK_INT(told.created_ms, 1500);
    CHECK_SLICE(told.state, "failed");
    check_history(told.history, 0); /* what is none is told as empty */
    CHECK(codec_find(record.stages, "a.b", &value));
    CHECK_INT(message_decode(&m_stage_layout, value, &told, NULL), 0);
    check_history(told.history, 3);
    msgpack_sbuffer_destroy(&buffer);
    end_bytes();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_stage_is_read_from_its_two_fields), HOLDS(its_callback_is_the_newest_address),
        HOLDS(what_is_cut_off_is_no_stage),         HOLDS(the_status_comes_from_the_stages),
        HOLDS(a_record_tells_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
