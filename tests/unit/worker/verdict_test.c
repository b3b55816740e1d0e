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
          VERDICT_FAILED,
          STATUS_FAILED },
        { { .late_ms = 5, GOOD }, VERDICT_FAILED, STATUS_TIMEOUT },
        { { .unreadable = STATUS_TOO_LARGE, .report = { ENDED, .signal = 9, .end = EXEC_CLOSED } },
          VERDICT_FAILED,
          STATUS_TOO_LARGE },
        { { .unreadable = STATUS_MALFORMED, .report = { ENDED } }, VERDICT_FAILED, STATUS_FAILED },
        { { .report = { ENDED, .failure = 2 } }, VERDICT_TROUBLE, STATUS_INTERNAL },
        { { .result = MESSAGES_OUTPUT }, VERDICT_FAILED, STATUS_FAILED }, /* no report */
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
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault fault = { 0 };
        CHECK_INT(judge(&rows[i].given, &fault), rows[i].kind);
        CHECK_INT(fault.code, rows[i].code);
        CHECK(!fault.code || fault.message[0]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(each_way_to_end_has_its_verdict),
        HOLDS(the_engine_has_the_word_on_its_own_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
