#pragma once
/* How an attempt ended, from all that is known of it. Pure. */
#include "services/worker/child.h"
#include "services/worker/inputs.h"
#include "services/worker/messages.h"

struct verdict_facts {
    bool stopped; /* it was told to stop: */
    enum gantry_stop why;
    uint32_t late_ms; /* the time limit that it passed, or 0 */
    int unreadable;   /* what messages_read() or messages_end() said, when it was not 0 */
    const struct messages *messages;
    const struct child_end *end;
};

enum verdict_kind {
    VERDICT_DONE,
    VERDICT_SKIPPED,
    VERDICT_FAILED, /* the fault says why; another attempt would fare no better */
    VERDICT_RETRY,  /* the fault says why; another attempt may do better */
    VERDICT_SNOOZED,
    VERDICT_CANCELLED,
    VERDICT_RETURN, /* nobody's failure: somebody else may try */
    VERDICT_TROUBLE /* the machine's failure, which the fault says: somebody else shall try */
};

/* ret_fault is filled for VERDICT_FAILED, VERDICT_RETRY and VERDICT_TROUBLE only. */
enum verdict_kind verdict_of(const struct verdict_facts *facts, struct fault *ret_fault);
