#include "tests/unit/broker/credit_hand.h"

TEST(a_claim_is_for_all_services_and_taken_by_one)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "a", "b");
    CHECK_INT(park(credit, seat, 1), 0);
    struct claim *claim = next(credit, 1, "a");
    none_next(credit); /* b is worth a try, but the claim is out */
    CHECK_INT(credit_parked(credit), 0);
    credit_empty(credit, &claim);
    claim = next(credit, 1, "b");
    credit_empty(credit, &claim);
    none_next(credit);
    credit_ready(credit, SLICE("b"));
    next(credit, 1, "b");
    credit_destroy(&credit);
}

TEST(no_busy_service_starves_another)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "a", "b");
    static const char *const turns[] = { "a", "b", "a", "b" };
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_INT(park(credit, seat, i), 0);
        struct claim *claim = next(credit, i, turns[i]);
        credit_served(credit, &claim);
        none_next(credit);
    }
    credit_destroy(&credit);
}

TEST(a_worker_has_at_most_four_claims_open)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "a", NULL);
    for (uint64_t i = 1; i <= CREDIT_CLAIMS_MAX; i++)
        CHECK_INT(park(credit, seat, i), 0);
    struct claim *claim = next(credit, 1, "a"); /* out, but open */
    CHECK_INT(park(credit, seat, 5), STATUS_BUSY);
    credit_drop(credit, &claim);
    CHECK_INT(park(credit, seat, 5), 0);
    credit_destroy(&credit);
}

TEST(claims_are_bounded_in_all)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, 1);
    seat_t *seat = join(credit, 1, "a", NULL);
    CHECK_INT(park(credit, seat, 1), 0);
    CHECK_INT(park(credit, seat, 2), STATUS_BUSY);
    credit_destroy(&credit);
}

TEST(services_are_bounded_and_forgotten_with_their_last_worker)
{
    UNUSED;
    credit_t *credit = credit_new(1, CLAIMS);
    struct slice services[] = { SLICE("a"), SLICE("b") };
    seat_t *seat = NULL;
    CHECK_INT(credit_join(credit, services, 2, (struct peer_ref){ 1, 1 }, &seat), STATUS_BUSY);
    CHECK_INT(credit_queues(credit), 0);
    CHECK_INT(credit_join(credit, services, 0, (struct peer_ref){ 1, 1 }, &seat), STATUS_INVALID);
    seat = join(credit, 1, "a", NULL);
    CHECK_INT(credit_queues(credit), 1);
    credit_leave(credit, &seat);
    CHECK_INT(credit_queues(credit), 0);
    seat = join(credit, 1, "b", NULL);
    credit_destroy(&credit);
}

TEST(a_service_named_twice_is_refused)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    struct slice services[] = { SLICE("a"), SLICE("a") };
    seat_t *seat = NULL;
    CHECK_INT(credit_join(credit, services, 2, (struct peer_ref){ 1, 1 }, &seat), STATUS_INVALID);
    CHECK_INT(credit_queues(credit), 0);
    credit_destroy(&credit);
}

TEST(parked_claims_leave_with_their_worker_and_those_out_end_later)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 7, "a", NULL);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_INT(park(credit, seat, i), 0);
    struct claim *empty = next(credit, 1, "a");
    credit_look(credit);
    struct claim *served = next(credit, 2, "a");
    credit_leave(credit, &seat);
    CHECK(!seat);
    CHECK_INT(credit_parked(credit), 0);
    CHECK_INT(served->owner.index,
              7); /* its answer must be returned: the peer is looked up by this */
    CHECK_INT(credit_queues(credit), 1);
    credit_empty(credit, &empty);
    credit_served(credit, &served);
    CHECK_INT(credit_queues(credit), 0);
    none_next(credit);
    credit_destroy(&credit);
}

TEST(a_look_comes_to_every_queue_of_a_lone_claim)
{
    UNUSED;
    credit_t *credit = credit_new(QUEUES, CLAIMS);
    seat_t *seat = join(credit, 1, "ffmpeg", "system");
    CHECK_INT(park(credit, seat, 1), 0);
    struct claim *claim = next(credit, 1, "ffmpeg");
    credit_empty(credit, &claim);
    claim = next(credit, 1, "system");
    credit_empty(credit, &claim);
    none_next(credit);
    for (int looks = 0; looks < 3; looks++) {
        bool ffmpeg = false;
        bool system = false;
        struct slice service;
        credit_look(credit);
        while (credit_next(credit, &claim, &service)) {
            ffmpeg |= slice_is(service, "ffmpeg");
            system |= slice_is(service, "system");
            credit_empty(credit, &claim);
        }
        CHECK(ffmpeg && system);
    }
    credit_destroy(&credit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_claim_is_for_all_services_and_taken_by_one),
        HOLDS(no_busy_service_starves_another),
        HOLDS(a_worker_has_at_most_four_claims_open),
        HOLDS(claims_are_bounded_in_all),
        HOLDS(services_are_bounded_and_forgotten_with_their_last_worker),
        HOLDS(a_service_named_twice_is_refused),
        HOLDS(parked_claims_leave_with_their_worker_and_those_out_end_later),
        HOLDS(a_look_comes_to_every_queue_of_a_lone_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
