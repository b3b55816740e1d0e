#include "tests/unit/proto/worker_world.h"

static struct gantry_bytes bytes(const void *data, size_t size)
{
    return (struct gantry_bytes){ data, size };
}

TEST(what_is_tried_again_says_when_and_what_it_leaves)
{
    UNUSED;
    static struct world w;
    struct m_fault fault;
    const struct gantry_end bad = { .code = GANTRY_TIMEOUT, .message = "too late" };
    begin(&w, 4);
    is_given(&w, 0, 4);
    CHECK_INT(gantry_job_failures(w.jobs[0]), 1);
    CHECK_INT(gantry_job_crashes(w.jobs[0]), 2);
    struct gantry_bytes left = gantry_job_checkpoint(w.jobs[0]);
    CHECK(left.size == 5 && memcmp(left.data, "\xa4left", 5) == 0);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes("\x01", 1)), 0);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes("\xa3two", 4)), 0);
    gantry_job_retry(w.jobs[0], &bad, -1);
    gantry_job_retry(w.jobs[1], &bad, 0); /* at once */
    CHECK_INT(gantry_job_keep(w.jobs[2], bytes("\x07", 1)), 0);
    gantry_job_snooze(w.jobs[2], 9000);
    CHECK_INT(gantry_job_keep(w.jobs[3], bytes("\x08", 1)), 0);
    gantry_job_failed(w.jobs[3], &bad);
    CHECK(hears(&w, VERB_DONE));
    CHECK_INT(w.hand.in.header.count, 4);
    struct m_result m = result(&w, 0);
    CHECK_SLICE(m.state, "retry");
    CHECK_INT(m.retry_after_ms, 0);
    CHECK_SLICE(m.checkpoint, "\xa3two");
    CHECK_INT(message_decode(&m_fault_layout, m.error, &fault, NULL), 0);
    CHECK_SLICE(fault.code, "TIMEOUT");
    CHECK_INT(result(&w, 1).retry_after_ms, 1);
    CHECK_INT(result(&w, 1).checkpoint.size, 0);
    m = result(&w, 2);
    CHECK_SLICE(m.state, "snoozed");
    CHECK_INT(m.retry_after_ms, 9000);
    CHECK_SLICE(m.checkpoint, "\x07");
    CHECK_INT(m.error.size, 0);
    CHECK_SLICE(result(&w, 3).state, "failed");
    CHECK_INT(result(&w, 3).checkpoint.size, 0);
    outcome(&w, 0);
    end(&w);
}

TEST(a_checkpoint_is_bounded_and_goes_back_with_its_stage)
{
    UNUSED;
    static struct world w;
    static uint8_t big[CHECKPOINT_MAX + 1] = { 0xc6, 0, 0, 0xff, 0xfc };
    static const char deep[] = "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01";
    struct m_handout m;
    begin(&w, 1);
    is_given(&w, 0, 1);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes(big, sizeof big)), GANTRY_TOO_LARGE);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes("\xc1", 1)), GANTRY_INVALID);
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes(deep, sizeof deep - 1)), GANTRY_INVALID);
    big[4] = 0xfb;
    CHECK_INT(gantry_job_keep(w.jobs[0], bytes(big, CHECKPOINT_MAX)), 0);
    gantry_job_return(w.jobs[0]);
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(message_decode(&m_handout_layout, hand_item(&w.hand, 0), &m, NULL), 0);
    CHECK_INT(m.checkpoint.size, CHECKPOINT_MAX);
    outcome(&w, STATUS_TOO_LARGE); /* then it goes back without */
    CHECK(hears(&w, VERB_RETURN));
    CHECK_INT(message_decode(&m_handout_layout, hand_item(&w.hand, 0), &m, NULL), 0);
    CHECK_INT(m.checkpoint.size, 0);
    outcome(&w, 0);
    end(&w);
}

static void beat_drains(struct world *w, bool drain)
{
    struct m_beat m = { .drain = drain };
    uint64_t open;
    (void)held(w, &open);
    hand_write(&w->hand, &m_beat_layout, &m);
    hand_answer(&w->hand, 0, false);
}

TEST(an_operator_drains_it_and_it_stays_and_claims_again)
{
    UNUSED;
    static struct world w;
    begin(&w, 2);
    w.at_once = true;
    CHECK(hears_claim(&w));
    uint64_t request = w.hand.in.header.request;
    beat_drains(&w, true);
    beat_drains(&w, true); /* so that the first was read */
    w.hand.in.header.request = request;
    hands_out(&w, "test.echo", 0, 1);
    CHECK(hears(&w, VERB_RETURN));
    outcome(&w, 0);
    w.seen[VERB_CLAIM] = w.seen[VERB_BYE] = false;
    for (int i = 0; i < 4; i++)
        beat_drains(&w, true);
    CHECK(!w.seen[VERB_CLAIM] && !w.seen[VERB_BYE]);
    CHECK_INT(w.started, 0);
    beat_drains(&w, false);
    is_given(&w, 1, 1);
    end(&w);
}

TEST(its_own_drain_is_taken_back_unless_it_left)
{
    UNUSED;
    static struct world w;
    begin(&w, 1);
    is_given(&w, 0, 1);
    gantry_worker_drain(w.worker);
    passes(&w, 50);
    gantry_worker_undrain(w.worker);
    gantry_job_done(w.jobs[0], NULL);
    CHECK(hears(&w, VERB_DONE));
    outcome(&w, 0);
    CHECK(hears_claim(&w));
    gantry_worker_drain(w.worker);
    CHECK(hears(&w, VERB_BYE));
    gantry_worker_undrain(w.worker);
    CHECK(gantry_worker_idle(w.worker));
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(what_is_tried_again_says_when_and_what_it_leaves),
        HOLDS(a_checkpoint_is_bounded_and_goes_back_with_its_stage),
        HOLDS(an_operator_drains_it_and_it_stays_and_claims_again),
        HOLDS(its_own_drain_is_taken_back_unless_it_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
