#include "tests/unit/proto/hand.h"

#include "common/paths.h"
#include "proto/gantry.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { TASKS = 700, ITEMS_MAX = 4096 };

/* The calls wait, so the broker played by hand has a thread of its own; it only notes what it saw.
 */
struct world {
    struct hand hand;
    pthread_t thread;
    atomic_bool over;
    void (*plays)(struct world *w);
    gantry_client_t *client;
    int step;          /* of the play */
    int messages;      /* SUBMITs */
    uint32_t greatest; /* count of one */
    bool mixed;        /* a message held another service than its header said */
    size_t seen;
    struct seen {
        char id[40];
        uint8_t token[16];
    } items[ITEMS_MAX];
    bool refuses_hello;
    int answers; /* to callbacks */
    int status;
    char text[256];
};

static void *play(void *arg)
{
    struct world *w = arg;
    while (!w->over) {
        if (!hand_hears(&w->hand))
            usleep(200);
        else if (w->hand.in.header.verb == VERB_HELLO && w->refuses_hello)
            hand_refuses(&w->hand, STATUS_UNAVAILABLE, 0);
        else if (w->hand.in.header.verb == VERB_HELLO)
            hand_welcomes(&w->hand);
        else if (w->hand.in.header.verb == VERB_PING)
            hand_answer(&w->hand, 0, false);
        else if (w->hand.in.header.verb != VERB_BYE)
            w->plays(w);
    }
    return NULL;
}

static void begin(struct world *w, void (*plays)(struct world *w))
{
    memset(w, 0, sizeof *w);
    w->plays = plays;
    hand_open(&w->hand, "ipc://client_test.ipc");
    w->client = gantry_client_new(w->hand.endpoint);
    assert_non_null(w->client);
}

static void raise_curtain(struct world *w)
{
    assert_int_equal(pthread_create(&w->thread, NULL, play, w), 0);
}

static void end(struct world *w)
{
    gantry_client_destroy(&w->client);
    w->over = true;
    pthread_join(w->thread, NULL);
    hand_close(&w->hand);
}

/* ---- submits ---- */

static void note(struct world *w, struct slice item)
{
    struct m_task task;
    if (message_decode(&m_task_layout, item, &task, NULL) || w->seen == ITEMS_MAX)
        return;
    struct seen *seen = &w->items[w->seen++];
    slice_copy(task.id, seen->id, sizeof seen->id);
    memcpy(seen->token, task.token.data, sizeof seen->token);
    struct slice service = w->hand.in.header.service;
    if (memcmp(task.task.data, service.data, service.size) != 0)
        w->mixed = true;
}

static void keeps_all_but(struct world *w, int refused_status, uint32_t every)
{
    struct header header = w->hand.in.header;
    w->messages++;
    w->greatest = header.count > w->greatest ? header.count : w->greatest;
    for (uint32_t i = 0; i < header.count; i++) {
        struct m_receipt receipt = { .state = SLICE("pending"),
                                     .reuse = SLICE("miss"),
                                     .durability = SLICE("everysec") };
        note(w, hand_item(&w->hand, i));
        if (every && (w->seen - 1) % every == 0)
            receipt = (struct m_receipt){ .status = (uint32_t)refused_status,
                                          .message = SLICE("no"),
                                          .field = SLICE("input.x"),
                                          .retry_after_ms = 20 };
        hand_write(&w->hand, &m_receipt_layout, &receipt);
    }
    hand_answer(&w->hand, 0, true);
}

static void keeps_all(struct world *w)
{
    keeps_all_but(w, 0, 0);
}

static void refuses_every_tenth(struct world *w)
{
    keeps_all_but(w, STATUS_NOT_FOUND, 10);
}

static struct gantry_task *tasks_of(size_t count)
{
    static struct gantry_task tasks[TASKS];
    for (size_t i = 0; i < count; i++)
        tasks[i] = (struct gantry_task){ .task = i % 3 ? "system.echo" : "ffmpeg.extract_audio",
                                         .priority = i % 2 ? GANTRY_HIGH : GANTRY_NORMAL };
    return tasks;
}

static struct gantry_receipt receipts[TASKS];

TEST(a_submit_goes_out_in_messages_of_one_service_and_priority)
{
    UNUSED;
    static struct world w;
    begin(&w, keeps_all);
    w.hand.welcome.batch_max = 50;
    raise_curtain(&w);
    CHECK_INT(gantry_submit(w.client, tasks_of(TASKS), TASKS, receipts, 5000), 0);
    for (size_t i = 0; i < TASKS; i++) {
        CHECK_INT(receipts[i].status, 0);
        CHECK_TEXT(receipts[i].reuse, "miss");
        CHECK_TEXT(receipts[i].durability, "everysec");
        CHECK_INT(strlen(receipts[i].id), 36);
    }
    end(&w);
    CHECK_INT(w.seen, TASKS);
    CHECK(!w.mixed);
    CHECK_INT(w.greatest, 50);
    CHECK_INT(w.messages, 3 + 3 + 5 + 5); /* 117, 117, 233 and 233 of each group */
}

TEST(each_task_has_its_own_receipt)
{
    UNUSED;
    static struct world w;
    begin(&w, refuses_every_tenth);
    raise_curtain(&w);
    struct gantry_task tasks[20];
    for (size_t i = 0; i < 20; i++)
        tasks[i] = (struct gantry_task){ .task = "system.echo" };
    tasks[5].task = "nonsense";
    tasks[6].id = "../etc";
    tasks[7].input = (struct gantry_bytes){ "\x01", 1 };
    tasks[8].owner = "\xff";
    tasks[9].input =
        (struct gantry_bytes){ "\x81\xa1x\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x90", 15 };
    tasks[10].callback = "ftp://x/\xff";
    tasks[11].reuse = "always";
    CHECK_INT(gantry_submit(w.client, tasks, 20, receipts, 5000), 0);
    end(&w);
    CHECK_INT(receipts[0].status, GANTRY_NOT_FOUND);
    CHECK_TEXT(receipts[0].message, "no");
    CHECK_TEXT(receipts[0].field, "input.x");
    CHECK_INT(receipts[1].status, 0);
    CHECK_INT(receipts[5].status, GANTRY_INVALID);
    CHECK_TEXT(receipts[5].field, "task");
    CHECK_TEXT(receipts[6].field, "id");
    CHECK_TEXT(receipts[7].field, "input");
    CHECK_TEXT(receipts[8].field, "owner");
    CHECK_TEXT(receipts[9].field, "input");
    CHECK_TEXT(receipts[5].message, TASK_NAME_RULE);
    CHECK_TEXT(receipts[6].message, TASK_ID_RULE);
    CHECK_TEXT(receipts[7].message, "must be a map");
    CHECK_TEXT(receipts[8].message, "must be UTF-8");
    CHECK_TEXT(receipts[9].message, "is nested deeper than 11 levels");
    CHECK_TEXT(receipts[10].field, "callback");
    CHECK_TEXT(receipts[11].field, "reuse");
    CHECK_INT(w.seen, 13);
}

TEST(what_is_too_large_is_refused_here_and_the_rest_is_cut_to_fit)
{
    UNUSED;
    static struct world w;
    static uint8_t big[6 + 0x1380] = { 0x81, 0xa1, 'x', 0xc5, 0x13, 0x80 };
    begin(&w, keeps_all);
    w.hand.welcome.body_max = 4096;
    raise_curtain(&w);
    struct gantry_task *tasks = tasks_of(100);
    for (size_t i = 0; i < 100; i++)
        tasks[i] = (struct gantry_task){ .task = "system.echo" };
    tasks[50].input = (struct gantry_bytes){ big, sizeof big };
    CHECK_INT(gantry_submit(w.client, tasks, 100, receipts, 5000), 0);
    end(&w);
    CHECK_INT(receipts[50].status, GANTRY_TOO_LARGE);
    CHECK_INT(receipts[49].status, 0);
    CHECK_INT(receipts[51].status, 0);
    CHECK_INT(w.seen, 99);
    CHECK(w.messages > 2);
}

/* First the whole message is refused, then every item, then kept. */
static void is_busy_at_first(struct world *w)
{
    if (w->step++ == 0)
        hand_refuses(&w->hand, STATUS_UNAVAILABLE, 20);
    else if (w->step == 2)
        keeps_all_but(w, STATUS_BUSY, 1);
    else
        keeps_all(w);
}

TEST(busy_and_unavailable_are_tried_again_under_the_same_token)
{
    UNUSED;
    static struct world w;
    begin(&w, is_busy_at_first);
    raise_curtain(&w);
    struct gantry_task task = { .task = "system.echo" };
    CHECK_INT(gantry_submit(w.client, &task, 1, receipts, 5000), 0);
    end(&w);
    CHECK_INT(receipts[0].status, 0);
    CHECK_INT(w.seen, 2);
    CHECK_TEXT(w.items[0].id, w.items[1].id);
    assert_memory_equal(w.items[0].token, w.items[1].token, 16);
}

static void is_always_busy(struct world *w)
{
    hand_refuses(&w->hand, STATUS_BUSY, 5000);
}

static void says_nothing(struct world *w)
{
    w->messages++;
}

TEST(a_refusal_that_lasts_is_the_receipt_and_silence_is_a_timeout)
{
    UNUSED;
    static struct world w;
    struct gantry_task task = { .task = "system.echo" };
    begin(&w, is_always_busy);
    raise_curtain(&w);
    CHECK_INT(gantry_submit(w.client, &task, 1, receipts, 3000), 0);
    CHECK_INT(receipts[0].status, GANTRY_BUSY);
    CHECK_INT(receipts[0].retry_after_ms, 5000);
    end(&w);

    begin(&w, says_nothing);
    raise_curtain(&w);
    CHECK_INT(gantry_submit(w.client, &task, 1, receipts, 300), GANTRY_TIMEOUT);
    CHECK_INT(receipts[0].status, GANTRY_TIMEOUT);
    end(&w);
}

TEST(without_a_broker_calls_end_in_time_and_say_where_they_looked)
{
    UNUSED;
    struct gantry_task task = { .task = "system.echo" };
    gantry_client_t *client = gantry_client_new("ipc://nobody_is_here.ipc");
    gantry_record_t *record = NULL;
    CHECK_INT(gantry_submit(client, &task, 1, receipts, 200), GANTRY_TIMEOUT);
    CHECK_INT(gantry_get(client, "x", 200, &record), GANTRY_TIMEOUT);
    assert_non_null(strstr(gantry_client_error(client)->message, "nobody_is_here"));
    gantry_client_destroy(&client);
    CHECK(gantry_client_new("") == NULL);
    CHECK(gantry_client_new(NULL) == NULL);
}

TEST(a_broker_that_refuses_is_told_with_its_reason)
{
    UNUSED;
    static struct world w;
    gantry_record_t *record = NULL;
    begin(&w, says_nothing);
    w.refuses_hello = true;
    raise_curtain(&w);
    CHECK_INT(gantry_get(w.client, "x", 300, &record), GANTRY_TIMEOUT);
    CHECK_TEXT(gantry_client_error(w.client)->message,
               "no broker takes clients at ipc://client_test.ipc: said by hand");
    end(&w);
}

/* ---- begun calls ---- */

static void on_submitted(void *arg, int status, const struct gantry_receipt *got, size_t count)
{
    struct world *w = arg;
    w->answers++;
    w->status = status;
    snprintf(w->text, sizeof w->text, "%zu %d", count, count ? got[0].status : -1);
    CHECK_INT(gantry_get(w->client, "x", 10, NULL), -EDEADLK);
}

TEST(a_begun_submit_calls_back_once)
{
    UNUSED;
    static struct world w;
    struct gantry_task tasks[3] = { { .task = "system.echo" },
                                    { .task = "system.echo" },
                                    { .task = "ffmpeg.probe" } };
    begin(&w, keeps_all);
    raise_curtain(&w);
    CHECK_INT(gantry_submit_begin(w.client, tasks, 3, 1000, on_submitted, &w), GANTRY_INVALID);
    CHECK_INT(gantry_submit_begin(w.client, tasks, 300, 1000, on_submitted, &w), GANTRY_TOO_LARGE);
    CHECK_INT(gantry_submit_begin(w.client, tasks, 0, 1000, on_submitted, &w), GANTRY_INVALID);
    CHECK_INT(w.answers, 0);
    CHECK_INT(gantry_submit_begin(w.client, tasks, 2, 1000, on_submitted, &w), 0);
    CHECK_INT(gantry_client_open(w.client), 1);
    CHECK_INT(gantry_client_run(w.client, 3000), 0);
    CHECK_INT(w.answers, 1);
    CHECK_INT(w.status, 0);
    CHECK_TEXT(w.text, "2 0");
    end(&w);
}

static void on_unavailable(void *arg, int status, const struct gantry_receipt *got, size_t count)
{
    struct world *w = arg;
    struct gantry_task task = { .task = "system.echo" };
    (void)got;
    (void)count;
    w->answers++;
    w->status = status;
    CHECK_INT(gantry_submit_begin(w->client, &task, 1, 0, on_unavailable, w), GANTRY_UNAVAILABLE);
}

static void on_waited(void *arg, int status, const gantry_record_t *record)
{
    struct world *w = arg;
    w->answers++;
    w->status = status;
    snprintf(w->text, sizeof w->text, "%s", record ? gantry_record_status(record) : "none");
}

TEST(open_calls_are_answered_when_the_client_ends)
{
    UNUSED;
    static struct world w;
    struct gantry_task task = { .task = "system.echo" };
    begin(&w, is_always_busy);
    raise_curtain(&w);
    CHECK_INT(gantry_wait_begin(w.client, "a", NULL, 0, on_waited, &w), 0);
    CHECK_INT(gantry_client_run(w.client, 100), GANTRY_TIMEOUT); /* refused, and paused */
    CHECK_INT(w.answers, 0);
    CHECK_INT(gantry_submit_begin(w.client, &task, 1, 0, on_unavailable, &w), 0);
    gantry_client_t *client = w.client;
    gantry_client_destroy(&client);
    w.client = NULL;
    CHECK_INT(w.answers, 2);
    CHECK_INT(w.status, GANTRY_UNAVAILABLE);
    end(&w);
}

/* ---- records ---- */

static void tells_the_record(struct world *w)
{
    struct hand *hand = &w->hand;
    static const char output[] = "\x81\xa1p\xa4/x/y";
    struct m_fault fault = { .code = SLICE("NOT_FOUND"),
                             .message = SLICE("gone"),
                             .field = SLICE("video_path") };
    struct parcel parts = { 0 };
    parcel_start(&parts);
    msgpack_packer pk = parcel_packer(&parts);
    size_t mark = parcel_mark(&parts);
    message_encode(&m_fault_layout, &fault, &pk);
    size_t stages = parcel_mark(&parts);
    struct m_stage done = { .state = SLICE("completed"),
                            .attempt = 2,
                            .worker = SLICE("w1"),
                            .ended_ms = 99,
                            .output = slice_make(output, sizeof output - 1) };
    struct slice error = slice_make(parts.data + mark, stages - mark);
    char *kept = slice_dup(error);
    struct m_stage failed = { .state = SLICE("failed"), .error = slice_make(kept, error.size) };
    msgpack_pack_map(&pk, 2);
    pack_text(&pk, "a.one");
    message_encode(&m_stage_layout, &done, &pk);
    pack_text(&pk, "a.two");
    message_encode(&m_stage_layout, &failed, &pk);
    struct m_record record = { .id = SLICE("t1"),
                               .status = SLICE("failed"),
                               .storage_path = SLICE("/s/t1"),
                               .created_ms = 5,
                               .stages = parcel_item(&parts, stages) };
    hand_write(hand, &m_record_layout, &record);
    hand_answer(hand, 0, false);
    parcel_clear(&parts);
    free(kept);
}

TEST(a_record_is_read_into_plain_texts)
{
    UNUSED;
    static struct world w;
    gantry_record_t *record = NULL;
    begin(&w, tells_the_record);
    raise_curtain(&w);
    CHECK_INT(gantry_get(w.client, "t1", 2000, &record), 0);
    CHECK_TEXT(gantry_record_id(record), "t1");
    CHECK_TEXT(gantry_record_status(record), "failed");
    CHECK_TEXT(gantry_record_storage_path(record), "/s/t1");
    CHECK_INT(gantry_record_created_ms(record), 5);
    CHECK_INT(gantry_record_count(record), 2);
    CHECK(gantry_record_stage(record, 2) == NULL);
    const struct gantry_stage *one = gantry_record_find(record, "a.one");
    CHECK_TEXT(one->state, "completed");
    CHECK_TEXT(one->worker, "w1");
    CHECK_TEXT(one->priority, "");
    CHECK_TEXT(one->error_code, "");
    CHECK_INT(one->attempt, 2);
    CHECK_INT(one->output.size, 8);
    const struct gantry_stage *two = gantry_record_find(record, "a.two");
    CHECK_TEXT(two->error_code, "NOT_FOUND");
    CHECK_TEXT(two->error_message, "gone");
    CHECK_TEXT(two->error_field, "video_path");
    CHECK(gantry_record_find(record, "a.three") == NULL);
    CHECK_INT(
        codec_check(slice_make(gantry_record_bytes(record).data, gantry_record_bytes(record).size)),
        0);
    gantry_record_destroy(&record);
    CHECK(record == NULL);
    CHECK_INT(gantry_cancel(w.client, "t1", NULL, 2000, NULL), 0);
    CHECK_INT(gantry_get(w.client, "", 2000, &record), GANTRY_INVALID);
    end(&w);
}

static void is_not_there(struct world *w)
{
    hand_refuses(&w->hand, STATUS_NOT_FOUND, 0);
}

static void tells_nonsense(struct world *w)
{
    struct m_ref ref = { .id = SLICE("x") };
    hand_write(&w->hand, &m_ref_layout, &ref);
    hand_answer(&w->hand, 0, false);
}

TEST(a_refusal_is_told_with_its_words)
{
    UNUSED;
    static struct world w;
    gantry_record_t *record = NULL;
    begin(&w, is_not_there);
    raise_curtain(&w);
    CHECK_INT(gantry_get(w.client, "t1", 2000, &record), GANTRY_NOT_FOUND);
    const struct gantry_error *error = gantry_client_error(w.client);
    CHECK_TEXT(error->message, "said by hand");
    CHECK_TEXT(error->field, "input.x");
    CHECK_INT(error->limit, 7);
    CHECK_INT(error->current, 8);
    CHECK_INT(gantry_wait(w.client, "t1", NULL, 2000, &record), GANTRY_NOT_FOUND);
    end(&w);

    begin(&w, tells_nonsense);
    raise_curtain(&w);
    CHECK_INT(gantry_get(w.client, "t1", 2000, &record), -EPROTO);
    end(&w);
    CHECK(record == NULL);
}

/* Away, then not yet, then there; and so again. */
static void takes_its_time(struct world *w)
{
    int step = w->step++ % 3;
    if (step == 0)
        hand_refuses(&w->hand, STATUS_UNAVAILABLE, 20);
    else if (step == 1)
        hand_refuses(&w->hand, STATUS_TIMEOUT, 0);
    else
        tells_the_record(w);
}

TEST(a_wait_goes_on_until_its_own_time_is_over)
{
    UNUSED;
    static struct world w;
    gantry_record_t *record = NULL;
    begin(&w, takes_its_time);
    raise_curtain(&w);
    CHECK_INT(gantry_wait(w.client, "t1", NULL, 5000, &record), 0);
    CHECK_TEXT(gantry_record_status(record), "failed");
    gantry_record_destroy(&record);
    CHECK_INT(gantry_wait_begin(w.client, "t1", "a.one", 5000, on_waited, &w), 0);
    CHECK_INT(gantry_client_run(w.client, 3000), 0);
    CHECK_INT(w.answers, 1);
    CHECK_TEXT(w.text, "failed");
    end(&w);

    begin(&w, is_always_busy);
    raise_curtain(&w);
    int64_t before = clock_ms();
    CHECK_INT(gantry_wait(w.client, "t1", NULL, 200, &record), GANTRY_TIMEOUT);
    CHECK(clock_ms() - before >= 200 && clock_ms() - before < 10000);
    end(&w);
}

TEST(any_verb_can_be_called)
{
    UNUSED;
    static struct world w;
    void *body = NULL;
    size_t size = 0;
    begin(&w, is_not_there);
    raise_curtain(&w);
    CHECK_INT(
        gantry_call(w.client, VERB_STATUS, NULL, (struct gantry_bytes){ 0 }, 2000, &body, &size),
        GANTRY_NOT_FOUND);
    CHECK_INT(codec_check(slice_make(body, size)), 0);
    free(body);
    CHECK_TEXT(gantry_status_name(GANTRY_NOT_FOUND), "NOT_FOUND");
    CHECK_TEXT(gantry_status_text(-ENOMEM), strerror(ENOMEM));
    end(&w);
}

static void on_called(void *arg, int status, struct gantry_bytes body)
{
    struct world *w = arg;
    w->answers++;
    w->status = status;
    CHECK_INT(body.size ? codec_check(slice_make(body.data, body.size)) : 0, 0);
}

TEST(any_verb_can_be_begun)
{
    UNUSED;
    static struct world w;
    const struct gantry_bytes none = { 0 };
    begin(&w, is_not_there);
    raise_curtain(&w);
    for (int i = 0; i < 3; i++)
        CHECK_INT(gantry_call_begin(w.client, VERB_STATUS, NULL, none, 2000, on_called, &w), 0);
    CHECK_INT(gantry_client_open(w.client), 3);
    CHECK_INT(gantry_client_run(w.client, 3000), 0);
    CHECK_INT(w.answers, 3);
    CHECK_INT(w.status, GANTRY_NOT_FOUND);
    CHECK_INT(gantry_call_begin(w.client, VERB_STATUS, NULL, none, 0, on_called, &w), 0);
    gantry_client_t *client = w.client;
    gantry_client_destroy(&client);
    w.client = NULL;
    CHECK_INT(w.answers, 4);
    CHECK_INT(w.status, GANTRY_UNAVAILABLE);
    end(&w);
}

static void on_called_at_the_end(void *arg, int status, struct gantry_bytes body)
{
    struct world *w = arg;
    on_called(w, status, body);
    CHECK_INT(gantry_call_begin(w->client, VERB_STATUS, NULL, (struct gantry_bytes){ 0 }, 0,
                                on_called, w),
              GANTRY_UNAVAILABLE);
}

TEST(a_client_that_ends_begins_nothing_more)
{
    UNUSED;
    static struct world w;
    const struct gantry_bytes none = { 0 };
    begin(&w, is_not_there);
    raise_curtain(&w);
    CHECK_INT(gantry_call_begin(w.client, VERB_STATUS, NULL, none, 0, on_called_at_the_end, &w), 0);
    gantry_client_t *client = w.client;
    gantry_client_destroy(&client);
    w.client = NULL;
    CHECK_INT(w.answers, 1);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_submit_goes_out_in_messages_of_one_service_and_priority),
        HOLDS(each_task_has_its_own_receipt),
        HOLDS(what_is_too_large_is_refused_here_and_the_rest_is_cut_to_fit),
        HOLDS(busy_and_unavailable_are_tried_again_under_the_same_token),
        HOLDS(a_refusal_that_lasts_is_the_receipt_and_silence_is_a_timeout),
        HOLDS(without_a_broker_calls_end_in_time_and_say_where_they_looked),
        HOLDS(a_broker_that_refuses_is_told_with_its_reason),
        HOLDS(a_begun_submit_calls_back_once),
        HOLDS(open_calls_are_answered_when_the_client_ends),
        HOLDS(a_record_is_read_into_plain_texts),
        HOLDS(a_refusal_is_told_with_its_words),
        HOLDS(a_wait_goes_on_until_its_own_time_is_over),
        HOLDS(any_verb_can_be_called),
        HOLDS(any_verb_can_be_begun),
        HOLDS(a_client_that_ends_begins_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
