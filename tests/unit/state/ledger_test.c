#include "tests/unit/test.h"

#include "common/status.h"
#include "services/state/ledger.h"

enum { PAIRS_MAX = 24 };

/* Redis' answer, by hand. */
struct answer {
    redisReply reply;
    redisReply items[2 * PAIRS_MAX];
    redisReply *elements[2 * PAIRS_MAX];
    char names[PAIRS_MAX][16];
};

static void add(struct answer *answer, const char *name, long long value)
{
    const size_t at = answer->reply.elements;
    char *copy = answer->names[at / 2];
    (void)slice_copy(slice_of(name), copy, sizeof answer->names[0]);
    answer->items[at] =
        (redisReply){ .type = REDIS_REPLY_STRING, .str = copy, .len = strlen(name) };
    answer->items[at + 1] = (redisReply){ .type = REDIS_REPLY_INTEGER, .integer = value };
    answer->elements[at] = &answer->items[at];
    answer->elements[at + 1] = &answer->items[at + 1];
    answer->reply.type = REDIS_REPLY_ARRAY;
    answer->reply.element = answer->elements;
    answer->reply.elements = at + 2;
}

static void fill(struct answer *answer, long long accepted)
{
    static const char *const places[] = { "completed", "skipped",   "failed",  "quarantined",
                                          "cancelled", "scheduled", "pending", "running" };
    *answer = (struct answer){ 0 };
    add(answer, "accepted", accepted);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        add(answer, places[i], 1LL << i);
}

TEST(figures_are_told_as_they_were_counted)
{
    UNUSED;
    struct answer answer;
    struct m_ledger ledger;
    fill(&answer, 255);
    add(&answer, "seq", 1LL << 60);
    add(&answer, "balanced", 1);
    CHECK_INT(ledger_read(&answer.reply, &ledger), 0);
    CHECK(ledger.balanced);
    CHECK_INT(ledger.accepted, 255);
    CHECK_INT(ledger.completed, 1);
    CHECK_INT(ledger.running, 128);
    CHECK_INT(ledger.seq, 1ULL << 60);
}

/* Less than nothing somewhere is told as nothing, and yet as what it is: amiss. */
TEST(a_figure_below_nought_hides_no_imbalance)
{
    UNUSED;
    struct answer answer;
    struct m_ledger ledger;
    fill(&answer, 255);
    add(&answer, "pending", -5);
    answer.items[3].integer += 64; /* what the places sum up to, with nought for the pending ones */
    add(&answer, "balanced", 0);
    CHECK_INT(ledger_read(&answer.reply, &ledger), 0);
    CHECK(!ledger.balanced);
    CHECK_INT(ledger.pending, 0);
}

TEST(names_it_does_not_know_are_left_out)
{
    UNUSED;
    struct answer answer;
    struct m_ledger ledger;
    fill(&answer, 255);
    add(&answer, "novelty", 5);
    add(&answer, "requeues", -5);
    CHECK_INT(ledger_read(&answer.reply, &ledger), 0);
    CHECK_INT(ledger.requeues, 0);
}

TEST(another_shape_is_no_ledger)
{
    UNUSED;
    struct answer answer;
    struct m_ledger ledger = { .accepted = 7 };
    redisReply whole = { .type = REDIS_REPLY_INTEGER, .integer = 1 };
    CHECK_INT(ledger_read(NULL, &ledger), STATUS_INTERNAL);
    CHECK_INT(ledger_read(&whole, &ledger), STATUS_INTERNAL);
    fill(&answer, 255);
    answer.reply.elements--;
    CHECK_INT(ledger_read(&answer.reply, &ledger), STATUS_INTERNAL);
    CHECK_INT(ledger.accepted, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(figures_are_told_as_they_were_counted),
        HOLDS(a_figure_below_nought_hides_no_imbalance),
        HOLDS(names_it_does_not_know_are_left_out),
        HOLDS(another_shape_is_no_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
