#include "tests/unit/test.h"

#include "broker/credit.h"
#include "common/status.h"

#include <stdio.h>

enum { QUEUES = 8, CLAIMS = 64 };

/* A worker: its seat, and its claims' requests numbered by the caller. */
static seat_t *join(credit_t *credit, uint32_t worker, const char *one, const char *two)
{
    struct slice services[] = { slice_of(one), slice_of(two) };
    struct peer_ref owner = { worker, 1 };
    seat_t *seat = NULL;
    CHECK_INT(credit_join(credit, services, two ? 2 : 1, owner, &seat), 0);
    return seat;
}

static int park(credit_t *credit, seat_t *seat, uint64_t request)
{
    struct header header = { .verb = VERB_CLAIM, .request = request, .count = 1 };
    zmq_msg_t body;
    zmq_msg_init_size(&body, 100);
    int r = credit_park(credit, seat, &header, &body);
    zmq_msg_close(&body);
    return r;
}

static uint64_t request_of(const struct claim *claim)
{
    return claim->kept.header.request;
}

/* The next claim must be this one, for this service. */
static struct claim *next(credit_t *credit, uint64_t request, const char *service)
{
    struct claim *claim = NULL;
    struct slice given;
    CHECK(credit_next(credit, &claim, &given));
    CHECK_INT(request_of(claim), request);
    CHECK_SLICE(given, service);
    return claim;
}

static void none_next(credit_t *credit)
{
    struct claim *claim = NULL;
    struct slice service;
    CHECK(!credit_next(credit, &claim, &service));
}

/* Parks one claim and finds the queue empty with it. */
static void make_empty(credit_t *credit, seat_t *seat, uint64_t request, const char *service)
{
    CHECK_INT(park(credit, seat, request), 0);
    struct claim *claim = next(credit, request, service);
    credit_empty(credit, &claim);
    none_next(credit);
}

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

struct sum {
    uint32_t parked;
    uint32_t in_flight;
    uint32_t queues;
};

static void add_up(void *arg, const struct credit_queue *queue)
{
    struct sum *sum = arg;
    sum->parked += queue->parked;
    sum->in_flight += queue->in_flight;
    sum->queues++;
}

/* Workers come, go and claim; answers of all kinds come in any order. Against a plain count. */
enum { WORKERS = 6, OUT = 32 };

struct world {
    credit_t *credit;
    seat_t *seats[WORKERS];
    struct claim *out[OUT];
    int out_count;
    uint64_t dice;
};

static uint64_t roll(struct world *w, uint64_t sides)
{
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return w->dice % sides;
}

static const char *const names[] = { "a", "b", "c", "d" };

static void come_or_go(struct world *w)
{
    uint32_t worker = (uint32_t)roll(w, WORKERS);
    size_t one = roll(w, 4);
    if (w->seats[worker])
        credit_leave(w->credit, &w->seats[worker]);
    else
        w->seats[worker] = join(w->credit, worker, names[one], names[(one + 1 + roll(w, 3)) % 4]);
}

static void answer_one(struct world *w)
{
    if (!w->out_count)
        return;
    int at = (int)roll(w, (uint64_t)w->out_count);
    struct claim *claim = w->out[at];
    static void (*const ends[])(credit_t *, struct claim **) = { credit_served, credit_drained,
                                                                 credit_empty,  credit_empty,
                                                                 credit_drop,   credit_put_back };
    w->out[at] = w->out[--w->out_count];
    ends[roll(w, sizeof ends / sizeof *ends)](w->credit, &claim);
}

static void step(struct world *w)
{
    uint32_t worker = (uint32_t)roll(w, WORKERS);
    struct slice service;
    switch (roll(w, 9)) {
    case 0:
        come_or_go(w);
        break;
    case 1:
        credit_ready(w->credit, slice_of(names[roll(w, 4)]));
        break;
    case 2:
        credit_look(w->credit);
        break;
    case 3:
    case 4:
        if (w->seats[worker])
            (void)park(w->credit, w->seats[worker], roll(w, 1000));
        break;
    case 5:
        answer_one(w);
        break;
    case 6:
        if (w->out_count < OUT &&
            credit_ride(w->credit, slice_of(names[roll(w, 4)]), &w->out[w->out_count]))
            w->out_count++;
        break;
    default:
        if (w->out_count < OUT && credit_next(w->credit, &w->out[w->out_count], &service))
            w->out_count++;
        break;
    }
}

static void check_world(const struct world *w)
{
    struct sum sum = { 0 };
    uint32_t parked = 0;
    for (int i = 0; i < WORKERS; i++)
        parked += w->seats[i] ? seat_parked(w->seats[i]) : 0;
    credit_each(w->credit, add_up, &sum);
    CHECK_INT(credit_parked(w->credit), parked);
    CHECK_INT(sum.parked, 2 * parked); /* every worker here serves two */
    CHECK_INT(sum.in_flight, w->out_count);
    CHECK_INT(sum.queues, credit_queues(w->credit));
}

TEST(figures_add_up_whatever_happens)
{
    UNUSED;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w = { .credit = credit_new(QUEUES, CLAIMS),
                           .dice = seed * 0x9e3779b97f4a7c15u };
        for (int i = 0; i < 2000; i++) {
            step(&w);
            check_world(&w);
        }
        credit_destroy(&w.credit); /* with seats, parked claims and claims out: frees them all */
    }
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
        HOLDS(a_claim_is_for_all_services_and_taken_by_one),
        HOLDS(no_busy_service_starves_another),
        HOLDS(a_worker_has_at_most_four_claims_open),
        HOLDS(claims_are_bounded_in_all),
        HOLDS(services_are_bounded_and_forgotten_with_their_last_worker),
        HOLDS(a_service_named_twice_is_refused),
        HOLDS(parked_claims_leave_with_their_worker_and_those_out_end_later),
        HOLDS(a_look_comes_to_every_queue_of_a_lone_claim),
        HOLDS(what_could_not_be_sent_waits_for_the_next_look),
        HOLDS(figures_add_up_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
