#include "tests/unit/broker/credit_hand.h"

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
        HOLDS(figures_add_up_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
