#include "tests/unit/proto/hand.h"

#include "proto/gantry.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { TRIES_MAX = 8 };

/* The calls wait, so the broker played by hand has a thread of its own. */
struct world {
    struct hand hand;
    pthread_t thread;
    atomic_bool over;
    gantry_client_t *client;
    int refusals; /* before the answer, BUSY and UNAVAILABLE by turns */
    uint32_t status;
    struct m_task_status told;
    bool spoilt; /* the answer is none */
    int tries;
    uint8_t tokens[TRIES_MAX][16];
    char said[64];
};

static void answer(struct world *w)
{
    struct m_create_task created;
    struct m_get_task_status asked;
    const struct m_created_task id = { .task_id = SLICE("00112233-4455-4677-8899-aabbccddeeff") };
    const bool creates = w->hand.in.header.verb == VERB_CREATE_TASK;
    if (creates && !message_decode(&m_create_task_layout, hand_body(&w->hand), &created, NULL)) {
        memcpy(w->tokens[w->tries % TRIES_MAX], created.token.data, created.token.size);
        (void)slice_copy(created.temp_file_path, w->said, sizeof w->said);
    } else if (!message_decode(&m_get_task_status_layout, hand_body(&w->hand), &asked, NULL)) {
        (void)slice_copy(asked.task_id, w->said, sizeof w->said);
    }
    if (w->tries++ < w->refusals) {
        hand_refuses(&w->hand, w->tries % 2 ? STATUS_BUSY : STATUS_UNAVAILABLE, 5);
        return;
    }
    if (w->status) {
        hand_refuses(&w->hand, w->status, 0);
        return;
    }
    if (creates && !w->spoilt)
        hand_write(&w->hand, &m_created_task_layout, &id);
    else if (!w->spoilt)
        hand_write(&w->hand, &m_task_status_layout, &w->told);
    hand_answer(&w->hand, 0, false);
}

static void *play(void *arg)
{
    struct world *w = arg;
    while (!w->over) {
        if (!hand_hears(&w->hand))
            usleep(200);
        else if (w->hand.in.header.verb == VERB_HELLO)
            hand_welcomes(&w->hand);
        else if (w->hand.in.header.verb == VERB_PING)
            hand_answer(&w->hand, 0, false);
        else if (w->hand.in.header.verb != VERB_BYE)
            answer(w);
    }
    return NULL;
}

static void begin(struct world *w)
{
    hand_open(&w->hand, "ipc://created_test.ipc");
    w->client = gantry_client_new(w->hand.endpoint);
    assert_non_null(w->client);
    assert_int_equal(pthread_create(&w->thread, NULL, play, w), 0);
}

static void end(struct world *w)
{
    gantry_client_destroy(&w->client);
    w->over = true;
    pthread_join(w->thread, NULL);
    hand_close(&w->hand);
}

TEST(a_create_is_tried_again_under_one_token)
{
    UNUSED;
    struct world w = { .refusals = 4 };
    char id[GANTRY_ID_SIZE];
    begin(&w);
    CHECK_INT(gantry_create_task(w.client, "/in/a.mp4", NULL, 30000, id), 0);
    CHECK_TEXT(id, "00112233-4455-4677-8899-aabbccddeeff");
    CHECK_TEXT(w.said, "/in/a.mp4");
    CHECK_INT(w.tries, 5);
    for (int i = 1; i < w.tries; i++)
        CHECK(memcmp(w.tokens[0], w.tokens[i], sizeof w.tokens[0]) == 0);
    end(&w);
}

TEST(a_token_of_the_callers_is_used)
{
    UNUSED;
    struct world w = { 0 };
    const uint8_t token[16] = "0123456789abcdef";
    char id[GANTRY_ID_SIZE];
    begin(&w);
    CHECK_INT(gantry_create_task(w.client, "/in/a.mp4", token, 30000, id), 0);
    CHECK(memcmp(w.tokens[0], token, sizeof token) == 0);
    CHECK_INT(gantry_create_task(w.client, "/in/a.mp4", NULL, 30000, id), 0);
    CHECK(memcmp(w.tokens[1], token, sizeof token) != 0);
    end(&w);
}

TEST(a_refusal_ends_it)
{
    UNUSED;
    struct world w = { .status = STATUS_NOT_FOUND };
    char id[GANTRY_ID_SIZE] = "as it was";
    begin(&w);
    CHECK_INT(gantry_create_task(w.client, "/in/a.mp4", NULL, 30000, id), GANTRY_NOT_FOUND);
    CHECK_TEXT(gantry_client_error(w.client)->message, "said by hand");
    CHECK_TEXT(id, "as it was");
    CHECK_INT(w.tries, 1);
    end(&w);
}

TEST(its_time_is_over)
{
    UNUSED;
    struct world w = { .refusals = INT32_MAX };
    char id[GANTRY_ID_SIZE];
    begin(&w);
    int r = gantry_create_task(w.client, "/in/a.mp4", NULL, 200, id);
    CHECK(r == GANTRY_BUSY || r == GANTRY_UNAVAILABLE || r == GANTRY_TIMEOUT);
    end(&w);
}

TEST(a_status_comes_with_all_it_says)
{
    UNUSED;
    struct world w = { .refusals = 1,
                       .told = { .status = GANTRY_TASK_COMPLETED,
                                 .result_file_path = SLICE("/out/r.mp4"),
                                 .created_at = SLICE("2026-01-31T03:00:00Z"),
                                 .updated_at = SLICE("2026-01-31T03:01:00Z") } };
    struct gantry_task_status status;
    begin(&w);
    CHECK_INT(gantry_task_status(w.client, "an-id", 30000, &status), 0);
    CHECK_TEXT(w.said, "an-id");
    CHECK_INT(status.status, GANTRY_TASK_COMPLETED);
    CHECK_TEXT(status.result_file_path, "/out/r.mp4");
    CHECK_TEXT(status.error_message, "");
    CHECK_TEXT(status.created_at, "2026-01-31T03:00:00Z");
    CHECK_TEXT(status.updated_at, "2026-01-31T03:01:00Z");
    w.status = STATUS_NOT_FOUND;
    CHECK_INT(gantry_task_status(w.client, "an-id", 30000, &status), GANTRY_NOT_FOUND);
    end(&w);
}

TEST(an_answer_that_is_none_is_no_answer)
{
    UNUSED;
    struct world w = { .spoilt = true };
    struct gantry_task_status status;
    char id[GANTRY_ID_SIZE];
    begin(&w);
    CHECK_INT(gantry_create_task(w.client, "/in/a.mp4", NULL, 30000, id), -EPROTO);
    CHECK_INT(gantry_task_status(w.client, "an-id", 30000, &status), -EPROTO);
    w.spoilt = false;
    w.told.status = 7;
    CHECK_INT(gantry_task_status(w.client, "an-id", 30000, &status), -EPROTO);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_create_is_tried_again_under_one_token),
        HOLDS(a_token_of_the_callers_is_used),
        HOLDS(a_refusal_ends_it),
        HOLDS(its_time_is_over),
        HOLDS(a_status_comes_with_all_it_says),
        HOLDS(an_answer_that_is_none_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
