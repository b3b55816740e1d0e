/* The lines of the launcher, in pieces of any length: understood the same as in one, and whatever
 * they are, there is a verdict. */
#include "services/worker/verdict.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct messages nothing;
    struct child_end end = { 0 };
    struct exec_report *whole = &end.report, cut = { 0 };
    if (size == 0)
        return 0;
    const size_t piece = (data[0] & 63u) + 1;
    exec_report_read(whole, slice_make(data + 1, size - 1));
    for (size_t at = 1; at < size; at += piece)
        exec_report_read(&cut, slice_make(data + at, size - at < piece ? size - at : piece));
    assert(whole->started == cut.started && whole->pid == cut.pid);
    assert(whole->ended == cut.ended && whole->end == cut.end && whole->end < EXEC_END_COUNT);
    assert(whole->exit_code == cut.exit_code && whole->signal == cut.signal);
    assert(whole->failure == cut.failure && whole->line_size == cut.line_size);
    assert(whole->pid >= 0 && whole->signal >= 0 && whole->failure >= 0);

    struct fault fault = { 0 };
    const struct verdict_facts facts = { .messages = &nothing, .end = &end };
    enum verdict_kind kind = verdict_of(&facts, &fault);
    assert(kind != VERDICT_DONE && (kind == VERDICT_RETURN || fault.message[0]));
    return 0;
}
