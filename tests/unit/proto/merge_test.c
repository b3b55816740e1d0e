/* Calls of gantry_submit_begin that share a message, before a broker played by hand. */
#include "tests/unit/proto/hand.h"

#include "proto/gantry.h"

#include <stdio.h>
#include <unistd.h>

enum { CALLS_MAX = 200, TURNS = 2000 };

static struct world {
    struct hand hand;
    gantry_client_t *client;
    uint32_t refuses;           /* status that whole messages of several tasks get */
    bool silent;                /* notes only */
    uint32_t counts[CALLS_MAX]; /* tasks of each SUBMIT, or 0 of a GET */
    size_t messages;
    char ids[CALLS_MAX][40];
    size_t seen;
    size_t answers;
    int statuses[CALLS_MAX]; /* of calls, by their number */
    char receipts[CALLS_MAX][40];
} w;

static void keep(void)
{
    const struct header *header = &w.hand.in.header;
    for (uint32_t i = 0; i < header->count; i++) {
        struct m_task task;
        struct m_receipt receipt = { .state = SLICE("pending") };
        CHECK_INT(message_decode(&m_task_layout, hand_item(&w.hand, i), &task, NULL), 0);
        CHECK(memcmp(task.task.data, header->service.data, header->service.size) == 0);
        slice_copy(task.id, w.ids[w.seen++], sizeof w.ids[0]);
        hand_write(&w.hand, &m_receipt_layout, &receipt);
    }
    if (w.refuses && header->count > 1) {
        w.hand.out.size = 0;
        hand_refuses(&w.hand, w.refuses, 0);
    } else {
        hand_answer(&w.hand, 0, true);
    }
}

static void hear(void)
{
    uint32_t verb = w.hand.in.header.verb;
    if (verb == VERB_HELLO)
        hand_welcomes(&w.hand);
    if (verb == VERB_SUBMIT || verb == VERB_GET)
        w.counts[w.messages++] = w.hand.in.header.count;
    if (verb == VERB_SUBMIT && !w.silent)
        keep();
    if (verb == VERB_GET)
        hand_refuses(&w.hand, STATUS_NOT_FOUND, 0);
}

static void turns_until(const size_t *count, size_t wanted)
{
    for (int i = 0; i < TURNS && *count < wanted; i++) {
        CHECK_INT(gantry_client_turn(w.client, 1), 0);
        while (hand_hears(&w.hand))
            hear();
    }
    CHECK_INT(*count, wanted);
}

static void on_submitted(void *arg, int status, const struct gantry_receipt *got, size_t count)
{
    size_t call = (size_t)(uintptr_t)arg;
    CHECK_INT(count, 1);
    CHECK_INT(got[0].status, status);
    w.statuses[call] = status;
    slice_copy(slice_of(got[0].id), w.receipts[call], sizeof w.receipts[0]);
    w.answers++;
}

static int submit(size_t call, const char *name, int64_t timeout_ms)
{
    char id[40];
    (void)snprintf(id, sizeof id, "t%zu", call);
    struct gantry_task task = { .id = id, .task = name };
    return gantry_submit_begin(w.client, &task, 1, timeout_ms, on_submitted,
                               (void *)(uintptr_t)call);
}

static void submit_all(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        CHECK_INT(submit(i, "system.echo", 0), 0);
}

/* Call 0 is answered before the rest begins, so that the broker's limits are known. */
static void begin(uint32_t body_max)
{
    memset(&w, 0, sizeof w);
    hand_open(&w.hand, "ipc://merge_test.ipc");
    w.hand.welcome.body_max = body_max;
    w.client = gantry_client_new(w.hand.endpoint);
    assert_non_null(w.client);
    submit_all(0, 1);
    turns_until(&w.answers, 1);
    w.messages = w.seen = w.answers = 0;
}

static void end(void)
{
    gantry_client_destroy(&w.client);
    hand_close(&w.hand);
}

TEST(calls_begun_while_one_is_under_way_share_a_message)
{
    UNUSED;
    begin(1 << 20);
    submit_all(0, 100);
    CHECK_INT(gantry_client_open(w.client), 100);
    turns_until(&w.answers, 100);
    CHECK_INT(gantry_client_open(w.client), 0);
    CHECK_INT(w.counts[0], 1); /* at once */
    CHECK(w.messages < 50);    /* a slow machine lets some go early */
    CHECK_INT(w.seen, 100);
    for (size_t i = 0; i < 100; i++) {
        CHECK_INT(w.statuses[i], 0);
        CHECK_TEXT(w.receipts[i], w.ids[i]);
        CHECK(w.counts[i] <= 64);
    }
    end();
}

TEST(each_call_is_a_message_where_that_is_wanted)
{
    UNUSED;
    begin(1 << 20);
    gantry_client_merge(w.client, 1);
    submit_all(0, 20);
    turns_until(&w.answers, 20);
    CHECK_INT(w.messages, 20);
    end();
}

TEST(another_service_or_timeout_is_another_message)
{
    UNUSED;
    begin(1 << 20);
    CHECK_INT(submit(0, "system.echo", 0), 0);
    CHECK_INT(submit(1, "system.echo", 0), 0);
    CHECK_INT(submit(2, "ffmpeg.probe", 0), 0);
    CHECK_INT(submit(3, "ffmpeg.probe", 5000), 0);
    CHECK_INT(submit(4, "ffmpeg.cut", 5000), 0);
    turns_until(&w.answers, 5);
    CHECK(w.messages >= 4);
    end();
}

static void on_called(void *arg, int status, struct gantry_bytes body)
{
    (void)arg;
    (void)body;
    CHECK_INT(status, GANTRY_NOT_FOUND);
    w.answers++;
}

TEST(what_the_client_asks_next_comes_after_what_it_began)
{
    UNUSED;
    const struct gantry_bytes none = { 0 };
    begin(1 << 20);
    submit_all(0, 3);
    CHECK_INT(gantry_call_begin(w.client, VERB_GET, NULL, none, 0, on_called, NULL), 0);
    submit_all(3, 4);
    turns_until(&w.answers, 5);
    CHECK_INT(w.counts[0], 1);
    CHECK(w.counts[1] > 0);
    CHECK_INT(w.counts[w.messages - 2], 0); /* the GET */
    CHECK_INT(w.counts[w.messages - 1], 1);
    end();
}

TEST(a_task_that_is_refused_here_leaves_its_neighbours_alone)
{
    UNUSED;
    static uint8_t big[6 + 0x0800] = { 0x81, 0xa1, 'x', 0xc5, 0x08, 0x00 };
    struct gantry_task large = { .id = "large",
                                 .task = "system.echo",
                                 .input = { big, sizeof big } };
    struct gantry_task wrong[2] = {
        { .id = "fine", .task = "system.echo" },
        { .id = "wrong", .task = "system.echo", .input = { "\x01", 1 } }
    };
    begin(4096);
    submit_all(0, 2);
    CHECK_INT(gantry_submit_begin(w.client, wrong, 2, 0, on_submitted, NULL), GANTRY_INVALID);
    CHECK_INT(gantry_submit_begin(w.client, &large, 1, 0, on_submitted, (void *)2), 0);
    CHECK_INT(gantry_submit_begin(w.client, &large, 1, 0, on_submitted, (void *)3), 0);
    large.input.size = 1;
    CHECK_INT(gantry_submit_begin(w.client, &large, 1, 0, on_submitted, NULL), GANTRY_INVALID);
    turns_until(&w.answers, 4);
    CHECK_INT(w.seen, 4);
    CHECK_TEXT(w.ids[1], "t1");
    CHECK_TEXT(w.ids[2], "large");
    end();
}

TEST(a_message_too_large_for_a_broker_is_no_call_s_fault)
{
    UNUSED;
    begin(1 << 20);
    w.refuses = STATUS_TOO_LARGE;
    submit_all(0, 40);
    turns_until(&w.answers, 40);
    CHECK_INT(w.statuses[0], 0);
    CHECK_INT(w.statuses[39], GANTRY_UNAVAILABLE);
    w.refuses = STATUS_BUSY;
    submit_all(40, 80);
    turns_until(&w.answers, 80);
    CHECK_INT(w.statuses[79], GANTRY_BUSY);
    end();
}

TEST(nothing_is_merged_before_the_broker_s_limits_are_known)
{
    UNUSED;
    memset(&w, 0, sizeof w);
    hand_open(&w.hand, "ipc://merge_test.ipc");
    w.client = gantry_client_new(w.hand.endpoint);
    assert_non_null(w.client);
    submit_all(0, 10);
    turns_until(&w.answers, 10);
    CHECK_INT(w.messages, 10);
    end();
}

/* Else it would have what is left of the other's timeout. */
TEST(a_call_does_not_join_one_that_waits_for_long)
{
    UNUSED;
    begin(1 << 20);
    w.silent = true;
    CHECK_INT(submit(0, "system.echo", 0), 0);
    CHECK_INT(submit(1, "system.echo", 200), 0);
    usleep(300000);
    CHECK_INT(submit(2, "system.echo", 200), 0);
    turns_until(&w.answers, 1);
    CHECK_INT(w.statuses[1], GANTRY_TIMEOUT);
    CHECK_INT(gantry_client_open(w.client), 2);
    turns_until(&w.answers, 2);
    CHECK_INT(w.statuses[2], GANTRY_TIMEOUT);
    CHECK_INT(w.counts[1], 1);
    CHECK_INT(w.counts[2], 1);
    end();
}

TEST(each_call_times_out)
{
    UNUSED;
    begin(1 << 20);
    w.silent = true;
    for (size_t i = 0; i < 10; i++)
        CHECK_INT(submit(i, "system.echo", 50), 0);
    turns_until(&w.answers, 10);
    for (size_t i = 0; i < 10; i++)
        CHECK_INT(w.statuses[i], GANTRY_TIMEOUT);
    end();
}

TEST(each_call_is_answered_when_the_client_ends)
{
    UNUSED;
    begin(1 << 20);
    submit_all(0, 10);
    end();
    CHECK_INT(w.answers, 10);
    CHECK_INT(w.statuses[9], GANTRY_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(calls_begun_while_one_is_under_way_share_a_message),
        HOLDS(each_call_is_a_message_where_that_is_wanted),
        HOLDS(another_service_or_timeout_is_another_message),
        HOLDS(what_the_client_asks_next_comes_after_what_it_began),
        HOLDS(a_task_that_is_refused_here_leaves_its_neighbours_alone),
        HOLDS(a_message_too_large_for_a_broker_is_no_call_s_fault),
        HOLDS(nothing_is_merged_before_the_broker_s_limits_are_known),
        HOLDS(a_call_does_not_join_one_that_waits_for_long),
        HOLDS(each_call_times_out),
        HOLDS(each_call_is_answered_when_the_client_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
