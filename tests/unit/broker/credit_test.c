#include "tests/unit/broker/credit_hand.h"

TEST(a_queue_nothing_is_known_of_is_tried_at_once)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    none_next(credit);
    make_empty(credit, seat, 1, "ffmpeg");
    CHECK_INT(credit_parked(credit), 1);
    credit_destroy(&credit);
}

TEST(an_empty_queue_is_left_alone_until_it_is_ready)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    make_empty(credit, seat, 1, "ffmpeg");
    CHECK_INT(park(credit, seat, 2), 0);
    none_next(credit);
    credit_ready(credit, SLICE("other"));
    none_next(credit);
    credit_ready(credit, SLICE("ffmpeg"));
    next(credit, 1, "ffmpeg"); /* the oldest, and one only */
    none_next(credit);
    credit_destroy(&credit);
}

TEST(tasks_earn_the_next_claim_a_try)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    make_empty(credit, seat, 1, "ffmpeg");
    CHECK_INT(park(credit, seat, 2), 0);
    credit_ready(credit, SLICE("ffmpeg"));
    struct claim *claim = next(credit, 1, "ffmpeg");
    credit_served(credit, &claim);
    CHECK(!claim);
    claim = next(credit, 2, "ffmpeg");
    credit_served(credit, &claim);
    none_next(credit);
    CHECK_INT(credit_parked(credit), 0);
    CHECK_INT(park(credit, seat, 3), 0); /* and the queue is still worth a try */
    next(credit, 3, "ffmpeg");
    credit_destroy(&credit);
}

TEST(the_last_tasks_earn_none)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    make_empty(credit, seat, 1, "ffmpeg");
    CHECK_INT(park(credit, seat, 2), 0);
    credit_ready(credit, SLICE("ffmpeg"));
    struct claim *claim = next(credit, 1, "ffmpeg");
    credit_drained(credit, &claim);
    CHECK(!claim);
    none_next(credit);
    CHECK_INT(credit_parked(credit), 1);
    credit_ready(credit, SLICE("ffmpeg"));
    claim = next(credit, 2, "ffmpeg");
    credit_ready(credit, SLICE("ffmpeg")); /* of a task that this claim came too early for */
    CHECK_INT(park(credit, seat, 3), 0);
    credit_drained(credit, &claim);
    next(credit, 3, "ffmpeg");
    credit_destroy(&credit);
}

TEST(a_ready_while_the_claim_was_out_has_it_tried_again)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    CHECK_INT(park(credit, seat, 1), 0);
    struct claim *claim = next(credit, 1, "ffmpeg");
    credit_ready(credit, SLICE("ffmpeg"));
    none_next(credit);
    credit_empty(credit, &claim);
    claim = next(credit, 1, "ffmpeg");
    credit_empty(credit, &claim);
    none_next(credit);
    credit_destroy(&credit);
}

TEST(what_comes_back_empty_stands_where_it_stood)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_INT(park(credit, seat, i), 0);
    struct claim *one = next(credit, 1, "ffmpeg");
    credit_look(credit);
    struct claim *two = next(credit, 2, "ffmpeg");
    credit_empty(credit, &two);
    credit_empty(credit, &one);
    none_next(credit);
    for (uint64_t i = 1; i <= 3; i++) {
        credit_look(credit);
        next(credit, i, "ffmpeg");
    }
    credit_destroy(&credit);
}

TEST(many_readies_while_a_claim_is_out_earn_one_try)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_INT(park(credit, seat, i), 0);
    struct claim *claim = next(credit, 1, "ffmpeg");
    none_next(credit); /* it may bring all there is */
    for (int i = 0; i < 5; i++)
        credit_ready(credit, SLICE("ffmpeg"));
    none_next(credit);
    credit_drained(credit, &claim);
    claim = next(credit, 2, "ffmpeg");
    none_next(credit);
    credit_ready(credit, SLICE("ffmpeg"));
    credit_drop(credit, &claim); /* refused: whoever is next may do better */
    claim = next(credit, 3, "ffmpeg");
    credit_empty(credit, &claim);
    none_next(credit);
    credit_destroy(&credit);
}

TEST(a_claim_that_stays_away_is_waited_for_until_the_next_look)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    for (uint64_t i = 1; i <= 4; i++)
        CHECK_INT(park(credit, seat, i), 0);
    struct claim *away = next(credit, 1, "ffmpeg");
    credit_ready(credit, SLICE("ffmpeg"));
    none_next(credit);
    credit_look(credit);
    struct claim *claim = next(credit, 2, "ffmpeg");
    credit_ready(credit, SLICE("ffmpeg"));
    none_next(credit); /* this one is waited for */
    credit_drained(credit, &claim);
    claim = next(credit, 3, "ffmpeg");
    credit_drained(credit, &claim);
    none_next(credit);
    credit_ready(credit, SLICE("ffmpeg"));
    claim = next(credit, 4, "ffmpeg");
    credit_empty(credit, &claim);
    CHECK(credit_ride(credit, SLICE("ffmpeg"), &claim));
    credit_empty(credit, &away); /* of before: the one on its way still counts */
    credit_ready(credit, SLICE("ffmpeg"));
    none_next(credit);
    credit_empty(credit, &claim);
    next(credit, 1, "ffmpeg");
    credit_destroy(&credit);
}

TEST(a_deep_queue_soon_has_all_claims)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    struct claim *out[15];
    int count = 0;
    for (uint32_t i = 0; i < 4; i++) {
        seat_t *seat = join(credit, i + 1, "ffmpeg", NULL);
        for (uint64_t k = 0; k < CREDIT_CLAIMS_MAX; k++)
            CHECK_INT(park(credit, seat, i * CREDIT_CLAIMS_MAX + k), 0);
    }
    static const int width[] = { 1, 1, 2, 4, 8 };
    uint64_t request = 0;
    for (int round = 0; round < 5; round++) {
        while (count)
            credit_served(credit, &out[--count]);
        while (count < width[round])
            out[count++] = next(credit, request++, "ffmpeg");
        none_next(credit);
    }
    while (count)
        credit_drained(credit, &out[--count]);
    none_next(credit);
    credit_destroy(&credit);
}

TEST(tasks_on_their_way_take_the_oldest_claim_of_an_idle_queue_along)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", NULL);
    struct claim *claim = NULL;
    CHECK(!credit_ride(credit, SLICE("ffmpeg"), &claim)); /* nobody is there */
    make_empty(credit, seat, 1, "ffmpeg");
    CHECK_INT(park(credit, seat, 2), 0);
    CHECK(!credit_ride(credit, SLICE("other"), &claim));
    CHECK(credit_ride(credit, SLICE("ffmpeg"), &claim));
    CHECK_INT(request_of(claim), 1);
    struct claim *second = NULL;
    CHECK(!credit_ride(credit, SLICE("ffmpeg"), &second)); /* one is out */
    none_next(credit);
    credit_ready(credit, SLICE("ffmpeg")); /* of these tasks, or of others that it came before */
    none_next(credit);
    credit_drained(credit, &claim);
    claim = next(credit, 2, "ffmpeg");
    credit_empty(credit, &claim);
    none_next(credit);
    CHECK(credit_ride(credit, SLICE("ffmpeg"), &claim));
    credit_put_back(credit, &claim);
    none_next(credit);
    credit_destroy(&credit);
}

TEST(what_could_not_be_sent_waits_for_the_next_look)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "a", NULL);
    CHECK_INT(park(credit, seat, 1), 0);
    struct claim *claim = next(credit, 1, "a");
    credit_put_back(credit, &claim);
    none_next(credit);
    credit_look(credit);
    claim = next(credit, 1, "a");
    credit_empty(credit, &claim);
    none_next(credit);
    credit_look(credit); /* marked empty: one try a look */
    claim = next(credit, 1, "a");
    none_next(credit);
    credit_empty(credit, &claim);
    none_next(credit);
    credit_destroy(&credit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_queue_nothing_is_known_of_is_tried_at_once),
        HOLDS(an_empty_queue_is_left_alone_until_it_is_ready),
        HOLDS(tasks_earn_the_next_claim_a_try),
        HOLDS(the_last_tasks_earn_none),
        HOLDS(a_ready_while_the_claim_was_out_has_it_tried_again),
        HOLDS(what_comes_back_empty_stands_where_it_stood),
        HOLDS(many_readies_while_a_claim_is_out_earn_one_try),
        HOLDS(a_claim_that_stays_away_is_waited_for_until_the_next_look),
        HOLDS(a_deep_queue_soon_has_all_claims),
        HOLDS(tasks_on_their_way_take_the_oldest_claim_of_an_idle_queue_along),
        HOLDS(what_could_not_be_sent_waits_for_the_next_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
