#pragma once
/* What gantry-exec tells, line by line (see exec.h). */
#include "services/worker/exec.h"

#include "common/slice.h"

struct exec_report {
    bool started;
    int64_t pid; /* of the engine, and of its process group */
    bool ended;  /* nothing of it is alive; the rest below holds */
    int64_t exit_code, signal;
    int64_t user_ms, system_ms, rss_bytes;
    enum exec_end end;
    int64_t failure; /* errno of a command that could not be run, or 0 */
    char line[EXEC_LINE];
    size_t line_size;
};

/* Takes the next bytes of the report. A zeroed report is an empty one; lines that are none are
 * passed over: then ended stays false. */
void exec_report_read(struct exec_report *self, struct slice bytes);
