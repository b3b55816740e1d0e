#include "services/worker/verdict.h"

#include "common/status.h"
#include "proto/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

/* Each of the next says the fault, and answers VERDICT_FAILED. */
static enum verdict_kind failed(struct fault *ret_fault, int code, const char *message, ...)
    __attribute__((format(printf, 3, 4)));

static enum verdict_kind failed(struct fault *ret_fault, int code, const char *message, ...)
{
    ret_fault->code = code;
    ret_fault->field[0] = '\0';
    va_list args;
    va_start(args, message);
    (void)vsnprintf(ret_fault->message, sizeof ret_fault->message, message, args);
    va_end(args);
    return VERDICT_FAILED;
}

/* For a verdict that is filled in: what failed may go better the next time. */
static enum verdict_kind again(enum verdict_kind verdict)
{
    return verdict == VERDICT_FAILED ? VERDICT_RETRY : verdict;
}

/* The engine's own reason. A code that is none of the table's is a plain failure. */
static enum verdict_kind refused(const struct messages *messages, struct fault *ret_fault)
{
    char name[32];
    int code = slice_copy(messages->code, name, sizeof name) ? status_by_name(name) : -1;
    struct slice message = messages->message;
    if (message.size == 0)
        message = SLICE("the engine gave no reason");
    if (message.size > 500)
        message.size = 500;
    (void)failed(ret_fault, code > 0 ? code : STATUS_FAILED, "%.*s", SLICE_ARG(message));
    (void)slice_copy(messages->field, ret_fault->field, sizeof ret_fault->field);
    return code == STATUS_UNAVAILABLE || messages->result == MESSAGES_RETRY ? VERDICT_RETRY
                                                                            : VERDICT_FAILED;
}

/* Memory that ran out, a crash of a codec, somebody's kill: none is sure to come again. */
static enum verdict_kind of_signal(int64_t signal, struct fault *ret_fault)
{
    return again(failed(ret_fault, STATUS_FAILED, "the engine was ended by signal %d (%s)",
                        (int)signal, strsignal((int)signal)));
}

static enum verdict_kind of_exit_code(int64_t exit_code, struct fault *ret_fault)
{
    return failed(ret_fault, STATUS_FAILED, "the engine ended with exit code %d", (int)exit_code);
}

/* Of an engine that nobody stopped. */
static enum verdict_kind of_exit(const struct verdict_facts *facts, struct fault *ret_fault)
{
    const struct exec_report *report = &facts->end->report;
    const struct messages *messages = facts->messages;
    if (messages->result == MESSAGES_SNOOZE)
        return VERDICT_SNOOZED;
    if (messages->result == MESSAGES_RETRY)
        return refused(messages, ret_fault);
    if (messages->result == MESSAGES_ERROR && report->exit_code == EX_TEMPFAIL)
        return again(refused(messages, ret_fault));
    if (messages->result == MESSAGES_ERROR)
        return refused(messages, ret_fault);
    if (report->signal)
        return of_signal(report->signal, ret_fault);
    if (report->exit_code == EX_TEMPFAIL)
        return again(of_exit_code(report->exit_code, ret_fault));
    if (report->exit_code)
        return of_exit_code(report->exit_code, ret_fault);
    if (messages->result == MESSAGES_NONE)
        return failed(ret_fault, STATUS_FAILED, "the engine ended without a result");
    return messages->result == MESSAGES_SKIPPED ? VERDICT_SKIPPED : VERDICT_DONE;
}

static enum verdict_kind of_unreadable(int problem, struct fault *ret_fault)
{
    if (problem == STATUS_TOO_LARGE)
        return failed(ret_fault, problem,
                      "the engine's result is larger than %d bytes, or its checkpoint than %d",
                      MESSAGES_OUTPUT_MAX, CHECKPOINT_MAX);
    if (problem < 0)
        return again(
            failed(ret_fault, STATUS_INTERNAL, "the engine's result: %s", strerror(-problem)));
    return failed(ret_fault, STATUS_FAILED,
                  "the engine's result cannot be read: broken, nested too deep, or not finished");
}

enum verdict_kind verdict_of(const struct verdict_facts *facts, struct fault *ret_fault)
{
    const struct exec_report *report = &facts->end->report;
    bool whole = report->ended && !report->failure && !facts->unreadable && !facts->late_ms;
    if (facts->stopped && facts->why == GANTRY_STOP_CANCEL)
        return VERDICT_CANCELLED; /* beats a success that comes later */
    if (facts->stopped && facts->why == GANTRY_STOP_STALE)
        return VERDICT_RETURN;
    if (facts->stopped && whole) { /* drained: a result that came in time is one */
        struct fault ignored;
        enum verdict_kind kind = of_exit(facts, &ignored);
        return kind == VERDICT_FAILED || kind == VERDICT_RETRY ? VERDICT_RETURN : kind;
    }
    if (facts->stopped || report->end == EXEC_DEADLINE)
        return VERDICT_RETURN;
    if (facts->late_ms)
        return again(
            failed(ret_fault, STATUS_TIMEOUT, "it was not done within %u ms", facts->late_ms));
    if (report->failure) {
        (void)failed(ret_fault, STATUS_INTERNAL, "the engine cannot be run: %s",
                     strerror((int)report->failure));
        return VERDICT_TROUBLE;
    }
    if (!report->ended)
        return again(failed(ret_fault, STATUS_FAILED, "the launcher of the engine was killed"));
    if (facts->unreadable)
        return of_unreadable(facts->unreadable, ret_fault);
    return of_exit(facts, ret_fault);
}
