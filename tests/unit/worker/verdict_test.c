#include "services/worker/verdict.h"

#include "common/status.h"
#include "tests/unit/test.h"

struct given {
    bool stopped;
    enum gantry_stop why;
    uint32_t late_ms;
    int unreadable;
    enum messages_result result;
    struct exec_report report;
};

static enum verdict_kind judge(const struct given *given, struct fault *ret_fault)
{
    static struct child_end end;
    static struct messages messages;
    end.report = given->report;
    messages = (struct messages){ .result = given->result,
                                  .code = SLICE("NOT_FOUND"),
                                  .message = SLICE("gone"),
                                  .field = SLICE("path") };
    const struct verdict_facts facts = {
        .stopped = given->stopped,
        .why = given->why,
        .late_ms = given->late_ms,
        .unreadable = given->unreadable,
        .messages = &messages,
        .end = &end,
    };
    return verdict_of(&facts, ret_fault);
}

#define ENDED .ended = true
#define GOOD .result = MESSAGES_OUTPUT, .report = { ENDED }

TEST(each_way_to_end_has_its_verdict)
{
    UNUSED;
    static const struct {
        struct given given;
        enum verdict_kind kind;
        int code;
    } rows[] = {
        { { GOOD }, VERDICT_DONE, 0 },
        { { .result = MESSAGES_SKIPPED, .report = { ENDED } }, VERDICT_SKIPPED, 0 },
        { { .result = MESSAGES_ERROR, .report = { ENDED, .exit_code = 1 } },
          VERDICT_FAILED,
          STATUS_NOT_FOUND },
        { { .result = MESSAGES_ERROR, .report = { ENDED } }, VERDICT_FAILED, STATUS_NOT_FOUND },
        { { .report = { ENDED } }, VERDICT_FAILED, STATUS_FAILED },
        { { .result = MESSAGES_OUTPUT, .report = { ENDED, .exit_code = 1 } },
          VERDICT_FAILED,
          STATUS_FAILED },
        { { .result = MESSAGES_OUTPUT, .report = { ENDED, .signal = 11 } },
          VERDICT_RETRY,
          STATUS_FAILED },
        { { .report = { ENDED, .exit_code = 75 } }, VERDICT_RETRY, STATUS_FAILED },
        { { .result = MESSAGES_ERROR, .report = { ENDED, .exit_code = 75 } },
          VERDICT_RETRY,
          STATUS_NOT_FOUND },
        { { .result = MESSAGES_ERROR, .report = { ENDED, .signal = 11 } },
          VERDICT_FAILED,
          STATUS_NOT_FOUND },
        { { .result = MESSAGES_RETRY, .report = { ENDED, .exit_code = 1 } },
          VERDICT_RETRY,
          STATUS_NOT_FOUND },
        { { .result = MESSAGES_SNOOZE, .report = { ENDED, .exit_code = 1 } }, VERDICT_SNOOZED, 0 },
        { { .late_ms = 5, GOOD }, VERDICT_RETRY, STATUS_TIMEOUT },
        { { .late_ms = 5, .result = MESSAGES_SNOOZE, .report = { ENDED } },
          VERDICT_RETRY,
          STATUS_TIMEOUT },
        { { .unreadable = -12, .report = { ENDED } }, VERDICT_RETRY, STATUS_INTERNAL },
        { { .unreadable = STATUS_TOO_LARGE, .report = { ENDED, .signal = 9, .end = EXEC_CLOSED } },
          VERDICT_FAILED,
          STATUS_TOO_LARGE },
        { { .unreadable = STATUS_MALFORMED, .report = { ENDED } }, VERDICT_FAILED, STATUS_FAILED },
        { { .report = { ENDED, .failure = 2 } }, VERDICT_TROUBLE, STATUS_INTERNAL },
        { { .result = MESSAGES_OUTPUT }, VERDICT_RETRY, STATUS_FAILED }, /* no report */
        { { .report = { ENDED, .signal = 9, .end = EXEC_DEADLINE } }, VERDICT_RETURN, 0 },
        { { .stopped = true, .why = GANTRY_STOP_CANCEL, GOOD }, VERDICT_CANCELLED, 0 },
        { { .stopped = true, .why = GANTRY_STOP_CANCEL }, VERDICT_CANCELLED, 0 },
        { { .stopped = true, .why = GANTRY_STOP_STALE, GOOD }, VERDICT_RETURN, 0 },
        { { .stopped = true, .why = GANTRY_STOP_DRAIN, GOOD }, VERDICT_DONE, 0 },
        { { .stopped = true, .why = GANTRY_STOP_DRAIN, .report = { ENDED, .signal = 15 } },
          VERDICT_RETURN,
          0 },
        { { .stopped = true,
            .why = GANTRY_STOP_DRAIN,
            .result = MESSAGES_ERROR,
            .report = { ENDED } },
          VERDICT_RETURN,
          0 },
        { { .stopped = true, .why = GANTRY_STOP_DRAIN, .late_ms = 5, GOOD }, VERDICT_RETURN, 0 },
        { { .stopped = true,
            .why = GANTRY_STOP_DRAIN,
            .result = MESSAGES_RETRY,
            .report = { ENDED } },
          VERDICT_RETURN,
          0 },
        { { .stopped = true,
            .why = GANTRY_STOP_DRAIN,
            .result = MESSAGES_SNOOZE,
            .report = { ENDED } },
          VERDICT_SNOOZED,
          0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault fault = { 0 };
        CHECK_INT(judge(&rows[i].given, &fault), rows[i].kind);
        CHECK_INT(rows[i].code ? fault.code : 0, rows[i].code); /* else it means nothing */
        CHECK(!rows[i].code || fault.message[0]);
    }
}

TEST(the_engine_has_the_word_on_its_own_failure)
{
    UNUSED;
    const struct given given = { .result = MESSAGES_ERROR, .report = { ENDED, .exit_code = 1 } };
    struct fault fault = { 0 };
    CHECK_INT(judge(&given, &fault), VERDICT_FAILED);
    CHECK_TEXT(fault.message, "gone");
    CHECK_TEXT(fault.field, "path");
}

TEST(an_engine_that_says_it_is_unavailable_is_tried_again)
{
    UNUSED;
    struct messages messages = { .result = MESSAGES_ERROR, .code = SLICE("UNAVAILABLE") };
    struct child_end end = { .report = { ENDED, .exit_code = 1 } };
    const struct verdict_facts facts = { .messages = &messages, .end = &end };
    struct fault fault = { 0 };
    CHECK_INT(verdict_of(&facts, &fault), VERDICT_RETRY);
    CHECK_INT(fault.code, STATUS_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(each_way_to_end_has_its_verdict),
        HOLDS(the_engine_has_the_word_on_its_own_failure),
        HOLDS(an_engine_that_says_it_is_unavailable_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
