#pragma once
/* The words between a worker and gantry-exec, the launcher of one engine.
 *
 * Descriptors of gantry-exec: 0, 1, 2 and 3 are the engine's. 4 takes orders, one a line:
 *     until MS   renewed: everything is killed at MS (CLOCK_MONOTONIC), unless renewed again
 *     stop MS    SIGTERM to the engine's process group, SIGKILL to all that is left after MS
 *     kill       SIGKILL to everything, now
 * and when it is closed, everything is killed. 5 gets the report, one a line:
 *     started PID
 *     ended EXIT SIGNAL USER_MS SYSTEM_MS RSS_BYTES WHY      (WHY: a name of EXEC_ENDS)
 *     failed ERRNO                                           the command could not be run
 * The last line comes when no descendant of the engine is left alive, daemons included. */
#include <stdbool.h>
#include <stdint.h>

enum { EXEC_MESSAGES = 3, EXEC_ORDERS = 4, EXEC_REPORT = 5, EXEC_LINE = 128 };

/* What began the end: name, text on the wire. */
#define EXEC_ENDS(E)        \
    E(ITSELF, "itself")     \
    E(STOPPED, "stopped")   \
    E(KILLED, "killed")     \
    E(DEADLINE, "deadline") \
    E(CLOSED, "closed")

enum exec_end {
#define EXEC_END_ROW(name, text) EXEC_##name,
    EXEC_ENDS(EXEC_END_ROW)
#undef EXEC_END_ROW
        EXEC_END_COUNT
};
