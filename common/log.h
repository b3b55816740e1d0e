#pragma once
/* One event a line on stderr: time level program event key=value... Quiet when all is well.
 * Only handlers and main call these; libraries answer a status instead. Values with blanks, quotes
 * or control characters are quoted and escaped, so a peer's bytes can never forge a line. */
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program is borrowed for ever. 0, or STATUS_INVALID for a level that is none. */
int log_setup(const char *program, const char *level);

/* log_event(LOG_LEVEL_WARN, "refused", "peer=%s status=%s", ...): the format holds pairs; each %s
 * value is quoted and escaped as a whole when it needs to be, so write it bare (no quotes in the
 * format) and let it be the whole value. Conversions: %s %.*s, %d %i %u %x of any length and width,
 * %f %g. Lines are cut at 1024 bytes, which "..." at the end shows. pairs may be "". One thread
 * only. */
void log_event(enum log_level level, const char *event, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));

/* At most one line a second per event name; the next one says suppressed=N. For what a peer can
 * cause. */
void log_event_seldom(enum log_level level, const char *event, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));
