#pragma once
/* When a schedule comes due: the five fields of cron, and the moments they name in a zone. Knows no
 * clock and no zone: the caller passes the time and the zone's offsets in.
 *
 * A day fits when day-of-month or day-of-week does, if both are restricted; a field that begins
 * with * restricts nothing by itself, as in every cron. */
#include "services/state/refusal.h"

enum { CRON_MINUTE, CRON_HOUR, CRON_DAY, CRON_MONTH, CRON_WEEKDAY, CRON_FIELDS_COUNT };

enum { CRON_YEARS = 5 }; /* how far ahead a slot is looked for */

struct cron {
    uint64_t fits[CRON_FIELDS_COUNT]; /* bit n: the number n fits */
    bool any_day, any_weekday;
};

/* Seconds that the zone is ahead of UTC at a moment, in seconds since 1970. */
typedef int64_t cron_offset_fn(int64_t utc_s);

/* 0, or STATUS_INVALID, told in refusal: which field is wrong, and what it may be. */
int cron_parse(struct slice given, struct cron *ret_cron, struct refusal *refusal);

/* The first slot later than after_ms; false when there is none within CRON_YEARS. A local time that
 * is skipped when clocks go forward is due at the first moment after the gap; one that comes twice
 * is due the first time only. */
bool cron_next(const struct cron *self, cron_offset_fn *offset, int64_t after_ms, int64_t *ret_ms);
/* The latest slot that is not later than now_ms, where slot_ms is one that is not. */
int64_t cron_latest(const struct cron *self, cron_offset_fn *offset, int64_t slot_ms,
                    int64_t now_ms);
