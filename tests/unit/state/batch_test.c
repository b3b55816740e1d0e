#include "tests/unit/test.h"

#include "common/status.h"
#include "services/state/batch.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGES = 8, ITEMS = 1024, CALLS = 32 };

/* A message counts how often each of its items has ended. */
struct message {
    unsigned ended[ITEMS];
    int status;
    const void *result;
    uint32_t at;
};

static struct {
    batch_t *batches[CALLS];
    char text[CALLS][256]; /* the beginnings */
    unsigned count;
    int answer; /* of the next sends */
} sent;

static void begin(void *arg, struct command *command, struct slice key)
{
    (void)arg;
    command_begin(command);
    command_arg(command, key);
}

static int send_batch(void *arg, struct slice command, batch_t *batch)
{
    (void)arg;
    if (sent.answer)
        return sent.answer;
    snprintf(sent.text[sent.count], sizeof sent.text[0], "%.*s", SLICE_ARG(command));
    sent.batches[sent.count++] = batch;
    return 0;
}

static void ended(void *arg, void *of, uint32_t index, int status, const void *result, uint32_t at)
{
    (void)arg;
    struct message *message = of;
    message->ended[index]++;
    message->status = status;
    message->result = result;
    message->at = at;
}

static const struct batches_row row = { .begin = begin, .send = send_batch, .ended = ended };

static int setup(void **state)
{
    memset(&sent, 0, sizeof sent);
    *state = batches_new(&row, NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    batches_t *batches = *state;
    batches_destroy(&batches);
    return 0;
}

static void add(batches_t *batches, const char *key, struct message *message, uint32_t index)
{
    struct command *command = batches_add(batches, slice_of(key), message, index);
    CHECK(command);
    command_text(command, "i");
}

TEST(items_of_a_key_share_a_call)
{
    struct message a = { 0 }, b = { 0 };
    add(*state_, "x", &a, 0);
    add(*state_, "y", &b, 0);
    add(*state_, "x", &b, 1);
    CHECK_INT(sent.count, 0);
    batches_flush(*state_);
    batches_flush(*state_);

    CHECK_INT(sent.count, 2);
    CHECK_TEXT(sent.text[0], "*3\r\n$1\r\nx\r\n$1\r\ni\r\n$1\r\ni\r\n");
    CHECK_TEXT(sent.text[1], "*2\r\n$1\r\ny\r\n$1\r\ni\r\n");
    CHECK_INT(batch_count(sent.batches[0]), 2);
    CHECK(!batch_arg(sent.batches[0])); /* as setup() gave none */
    int result = 0;
    batch_end(sent.batches[0], 0, &result);
    CHECK_INT(a.ended[0], 1);
    CHECK_INT(b.ended[1], 1);
    CHECK_INT(b.ended[0], 0);
    CHECK_INT(b.at, 1);
    CHECK(b.result == &result);
    batch_end(sent.batches[1], STATUS_UNAVAILABLE, NULL);
    CHECK_INT(b.ended[0], 1);
    CHECK_INT(b.status, STATUS_UNAVAILABLE);
}

TEST(a_full_call_goes_at_once)
{
    struct message *a = calloc(1, sizeof *a);
    for (uint32_t i = 0; i < 600; i++)
        add(*state_, "x", a, i);
    CHECK_INT(sent.count, 2);
    batches_flush(*state_);
    CHECK_INT(sent.count, 3);
    CHECK_INT(batch_count(sent.batches[0]), BATCH_ITEMS_MAX);
    CHECK_INT(batch_count(sent.batches[2]), 600 - 2 * BATCH_ITEMS_MAX);
    for (unsigned i = 0; i < 3; i++)
        batch_end(sent.batches[i], 0, NULL);
    for (uint32_t i = 0; i < ITEMS; i++)
        CHECK_INT(a->ended[i], i < 600 ? 1 : 0);
    free(a);
}

TEST(a_long_call_takes_no_more)
{
    struct message *a = calloc(1, sizeof *a);
    char *large = calloc(1, BATCH_BYTES_MAX);
    struct command *command = batches_add(*state_, SLICE("x"), a, 0);
    command_arg(command, slice_make(large, BATCH_BYTES_MAX));
    add(*state_, "x", a, 1);
    CHECK_INT(sent.count, 1);
    batches_flush(*state_);
    CHECK_INT(sent.count, 2);
    batch_end(sent.batches[0], 0, NULL);
    batch_end(sent.batches[1], 0, NULL);
    CHECK_INT(a->ended[0] + a->ended[1], 2);
    free(large);
    free(a);
}

TEST(what_cannot_be_sent_ends_as_well)
{
    struct message a = { 0 };
    sent.answer = STATUS_BUSY;
    add(*state_, "x", &a, 0);
    add(*state_, "y", &a, 1);
    batches_flush(*state_);
    CHECK_INT(a.ended[0], 1);
    CHECK_INT(a.ended[1], 1);
    CHECK_INT(a.status, STATUS_BUSY);
    CHECK(!a.result);
}

TEST(more_keys_than_room_push_the_others_out)
{
    struct message a = { 0 };
    char key[8];
    for (uint32_t i = 0; i < BATCHES_OPEN_MAX + 1; i++) {
        if (i == CALLS)
            sent.answer = STATUS_UNAVAILABLE; /* no room to note them */
        snprintf(key, sizeof key, "k%u", i);
        add(*state_, key, &a, i);
    }
    for (uint32_t i = 0; i < BATCHES_OPEN_MAX; i++)
        CHECK_INT(a.ended[i], 1);
    CHECK_INT(a.ended[BATCHES_OPEN_MAX], 0);
    batches_flush(*state_);
    CHECK_INT(a.ended[BATCHES_OPEN_MAX], 1);
    char longer[BATCH_KEY_MAX + 1] = "";
    CHECK(!batches_add(*state_, slice_make(longer, sizeof longer), &a, 0));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test##_holds, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(items_of_a_key_share_a_call),
        EACH(a_full_call_goes_at_once),
        EACH(a_long_call_takes_no_more),
        EACH(what_cannot_be_sent_ends_as_well),
        EACH(more_keys_than_room_push_the_others_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
