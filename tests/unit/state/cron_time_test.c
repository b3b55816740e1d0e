#include "tests/unit/test.h"

#include "common/status.h"
#include "services/state/cron_time.h"
#include "services/state/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* "2026-03-29 01:00" or with seconds, UTC. */
static int64_t moment(const char *text)
{
    struct tm tm = { 0 };
    const char *end = strptime(text, "%Y-%m-%d %H:%M", &tm);
    if (end && *end == ':')
        end = strptime(end, ":%S", &tm);
    assert_true(end && *end == '\0');
    return (int64_t)timegm(&tm) * 1000;
}

static const char *text_of(int64_t ms)
{
    static char text[32];
    const time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(text, sizeof text, tm.tm_sec ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%d %H:%M", &tm);
    return text;
}

static struct cron parsed(const char *schedule)
{
    struct cron cron = { 0 };
    struct refusal why = { 0 };
    if (cron_parse(slice_of(schedule), &cron, &why))
        fail_msg("%s: %s", schedule, why.message);
    return cron;
}

static const char *next(const char *schedule, const char *zone_name, const char *after)
{
    const struct cron cron = parsed(schedule);
    struct zone zone;
    int64_t slot;
    CHECK_INT(zone_enter(&zone, slice_of(zone_name)), 0);
    const bool found = cron_next(&cron, zone_offset, moment(after), &slot);
    zone_leave(&zone);
    return found ? text_of(slot) : "never";
}

struct row {
    const char *schedule, *zone, *after, *slot;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        const char *slot = next(row->schedule, row->zone, row->after);
        if (strcmp(slot, row->slot) != 0)
            fail_msg("'%s' in %s after %s: %s, not %s", row->schedule,
                     *row->zone ? row->zone : "UTC", row->after, slot, row->slot);
    }
}
#define ROWS(rows) check_rows((rows), sizeof(rows) / sizeof *(rows))

TEST(the_next_slot_is_strictly_later)
{
    UNUSED;
    static const struct row rows[] = {
        { "* * * * *", "", "2026-01-01 00:00", "2026-01-01 00:01" },
        { "* * * * *", "", "2026-01-01 00:00:59", "2026-01-01 00:01" },
        { "* * * * *", "", "2025-12-31 23:59", "2026-01-01 00:00" },
        { "30 3 * * *", "", "2026-01-31 03:29:59", "2026-01-31 03:30" },
        { "30 3 * * *", "", "2026-01-31 03:30", "2026-02-01 03:30" },
        { "@hourly", "", "2026-01-31 23:00", "2026-02-01 00:00" },
        { "@daily", "", "2026-01-31 00:00", "2026-02-01 00:00" },
        { "@weekly", "", "2026-01-31 00:00", "2026-02-01 00:00" }, /* a Sunday */
        { "@weekly", "", "2026-02-01 00:00", "2026-02-08 00:00" },
        { "@monthly", "", "2026-01-01 00:00", "2026-02-01 00:00" },
        { "@yearly", "", "2026-01-01 00:00", "2027-01-01 00:00" },
        { " 5\t4  * * * ", "", "2026-01-01 00:00", "2026-01-01 04:05" },
        { "0 0 * * *", "", "1970-01-01 00:00", "1970-01-02 00:00" },
    };
    ROWS(rows);
}

TEST(lists_ranges_steps_and_names)
{
    UNUSED;
    static const struct row rows[] = {
        { "*/15 * * * *", "", "2026-01-01 00:01", "2026-01-01 00:15" },
        { "*/15 * * * *", "", "2026-01-01 00:45", "2026-01-01 01:00" },
        { "5,50 * * * *", "", "2026-01-01 00:05", "2026-01-01 00:50" },
        { "10-12 * * * *", "", "2026-01-01 00:12", "2026-01-01 01:10" },
        { "10-20/5 * * * *", "", "2026-01-01 00:15", "2026-01-01 00:20" },
        { "10-20/5 * * * *", "", "2026-01-01 00:20", "2026-01-01 01:10" },
        { "50/4 * * * *", "", "2026-01-01 00:50", "2026-01-01 00:54" },
        { "50/4 * * * *", "", "2026-01-01 00:58", "2026-01-01 01:50" },
        { "1,2-4,30-59/10 * * * *", "", "2026-01-01 00:04", "2026-01-01 00:30" },
        { "0 9-17 * * mon-fri", "", "2026-01-30 17:00", "2026-02-02 09:00" },
        { "0 0 * * 0", "", "2026-01-28 00:00", "2026-02-01 00:00" },
        { "0 0 * * 7", "", "2026-01-28 00:00", "2026-02-01 00:00" },
        { "0 0 * * SUN", "", "2026-01-28 00:00", "2026-02-01 00:00" },
        { "0 0 * * fri-sun", "", "2026-01-28 00:00", "2026-01-30 00:00" },
        { "0 0 * * fri-sun", "", "2026-01-31 00:00", "2026-02-01 00:00" },
        { "0 0 * * 5-7", "", "2026-02-01 00:00", "2026-02-06 00:00" },
        { "0 0 * * sun-tue", "", "2026-01-28 00:00", "2026-02-01 00:00" },
        { "0 0 * * sat,mon", "", "2026-01-31 00:00", "2026-02-02 00:00" },
        { "0 0 1 jan,Jul *", "", "2026-01-01 00:00", "2026-07-01 00:00" },
        { "0 0 1 mar-may *", "", "2026-05-01 00:00", "2027-03-01 00:00" },
        { "0 0 1 */5 *", "", "2026-01-01 00:00", "2026-06-01 00:00" },
        { "0 0 1 12 *", "", "2026-01-01 00:00", "2026-12-01 00:00" },
    };
    ROWS(rows);
}

TEST(a_day_fits_by_month_or_by_week_when_both_are_restricted)
{
    UNUSED;
    static const struct row rows[] = {
        { "0 0 13 * fri", "", "2026-01-01 00:00", "2026-01-02 00:00" },
        { "0 0 13 * fri", "", "2026-01-09 00:00", "2026-01-13 00:00" },
        { "0 0 13 * fri", "", "2026-01-13 00:00", "2026-01-16 00:00" },
        { "0 0 13 * *", "", "2026-01-14 00:00", "2026-02-13 00:00" },
        { "0 0 * * fri", "", "2026-01-14 00:00", "2026-01-16 00:00" },
        /* what begins with a star restricts nothing: both must fit */
        { "0 0 */2 * fri", "", "2026-01-02 00:00", "2026-01-09 00:00" },
        { "0 0 13 * */5", "", "2026-01-01 00:00", "2026-02-13 00:00" },
    };
    ROWS(rows);
}

TEST(days_that_not_every_month_or_year_has)
{
    UNUSED;
    static const struct row rows[] = {
        { "0 0 31 * *", "", "2026-01-31 00:00", "2026-03-31 00:00" },
        { "0 0 30 * *", "", "2026-01-30 00:00", "2026-03-30 00:00" },
        { "0 0 29 2 *", "", "2026-01-01 00:00", "2028-02-29 00:00" },
        { "0 0 29 2 *", "", "2028-02-29 00:00", "2032-02-29 00:00" },
        { "0 0 29 * *", "", "2026-01-29 00:00", "2026-03-29 00:00" },
        { "0 0 28-31 2 *", "", "2027-02-28 00:00", "2028-02-28 00:00" },
        { "59 23 31 12 *", "", "2026-12-31 23:59", "2027-12-31 23:59" },
        { "0 0 30 2 *", "", "2026-01-01 00:00", "never" },
        { "0 0 31 4,6,9,11 *", "", "2026-01-01 00:00", "never" },
        { "0 0 30 2 mon", "", "2026-01-01 00:00", "2026-02-02 00:00" },
        { "0 0 29 2 *", "", "2096-03-01 00:00", "never" }, /* 2100 has none: eight years */
        { "0 0 1 1 *", "", "2099-12-31 23:59", "2100-01-01 00:00" },
        { "0 0 28 2 *", "", "2100-02-28 00:00", "2101-02-28 00:00" },
    };
    ROWS(rows);
}

TEST(local_time_of_zones)
{
    UNUSED;
    static const struct row rows[] = {
        { "0 3 * * *", "Asia/Shanghai", "2026-03-29 00:00", "2026-03-29 19:00" },
        { "0 3 * * *", "Asia/Shanghai", "2026-10-25 00:00", "2026-10-25 19:00" },
        { "0 3 * * mon", "Asia/Shanghai", "2026-01-01 00:00", "2026-01-04 19:00" },
        { "0 0 1 * *", "Pacific/Kiritimati", "2026-01-15 00:00", "2026-01-31 10:00" },
        { "0 0 1 * *", "Pacific/Pago_Pago", "2026-01-15 00:00", "2026-02-01 11:00" },
        { "0 9 * * *", "Asia/Kathmandu", "2026-01-15 00:00", "2026-01-15 03:15" },
        { "0 9 * * *", "Europe/Berlin", "2026-01-15 00:00", "2026-01-15 08:00" },
        { "0 9 * * *", "Europe/Berlin", "2026-07-15 00:00", "2026-07-15 07:00" },
        { "0 9 * * *", "America/New_York", "2026-01-15 00:00", "2026-01-15 14:00" },
        { "0 9 * * *", "America/New_York", "2026-07-15 00:00", "2026-07-15 13:00" },
    };
    ROWS(rows);
}

/* Berlin: 2026-03-29 02:00 becomes 03:00 (01:00 UTC). New York: 2026-03-08 02:00 (07:00 UTC).
 * Lord Howe: 2026-10-04 02:00 becomes 02:30 (2026-10-03 15:30 UTC). */
TEST(a_skipped_hour_is_due_when_it_is_over)
{
    UNUSED;
    static const struct row rows[] = {
        { "30 2 * * *", "Europe/Berlin", "2026-03-28 01:30", "2026-03-29 01:00" },
        { "30 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:30" },
        { "*/10 2 * * *", "Europe/Berlin", "2026-03-29 00:59", "2026-03-29 01:00" },
        { "*/10 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:00" },
        { "0 2,3 * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 01:00" },
        { "0 2,3 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:00" },
        { "0 * * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 01:00" },
        { "0 * * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-29 02:00" },
        { "59 1 * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 00:59" },
        { "30 2 * * *", "America/New_York", "2026-03-08 06:00", "2026-03-08 07:00" },
        { "30 2 * * sun", "America/New_York", "2026-03-08 07:00", "2026-03-15 06:30" },
        { "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-03 15:30" },
        { "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 15:30", "2026-10-04 15:15" },
        { "30 2 * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-03 15:30" },
        /* Samoa had no 2011-12-30 */
        { "0 12 30 12 *", "Pacific/Apia", "2011-12-30 00:00", "2011-12-30 10:00" },
    };
    ROWS(rows);
}

/* Berlin: 2026-10-25 03:00 becomes 02:00 (01:00 UTC). New York: 2026-11-01 02:00 (06:00 UTC).
 * Lord Howe: 2026-04-05 02:00 becomes 01:30 (2026-04-04 15:00 UTC). */
TEST(an_hour_that_comes_twice_is_due_once)
{
    UNUSED;
    static const struct row rows[] = {
        { "30 2 * * *", "Europe/Berlin", "2026-10-25 00:00", "2026-10-25 00:30" },
        { "30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30" },
        { "30 2 * * *", "Europe/Berlin", "2026-10-25 01:10", "2026-10-26 01:30" },
        { "*/20 2 * * *", "Europe/Berlin", "2026-10-25 00:40", "2026-10-26 01:00" },
        { "* * * * *", "Europe/Berlin", "2026-10-25 00:59", "2026-10-25 02:00" },
        { "0 3 * * *", "Europe/Berlin", "2026-10-25 00:00", "2026-10-25 02:00" },
        { "0 * * * *", "Europe/Berlin", "2026-10-25 00:00", "2026-10-25 02:00" },
        { "30 1 * * *", "America/New_York", "2026-11-01 05:30", "2026-11-02 06:30" },
        { "30 1 * * *", "America/New_York", "2026-11-01 04:00", "2026-11-01 05:30" },
        { "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:00", "2026-04-04 14:45" },
        { "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:45", "2026-04-05 15:15" },
        { "15 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:15", "2026-04-05 14:45" },
    };
    ROWS(rows);
}

/* ---- against a model: every minute is looked at, and a local time that came before is no slot
 * ---- */

static bool fits_model(const struct cron *cron, int64_t local_minute)
{
    const time_t s = (time_t)(local_minute * 60);
    struct tm tm;
    gmtime_r(&s, &tm);
    const bool day = cron->fits[CRON_DAY] >> tm.tm_mday & 1;
    const bool weekday = cron->fits[CRON_WEEKDAY] >> tm.tm_wday & 1;
    return (cron->fits[CRON_MINUTE] >> tm.tm_min & 1) &&
           (cron->fits[CRON_HOUR] >> tm.tm_hour & 1) &&
           (cron->fits[CRON_MONTH] >> (tm.tm_mon + 1) & 1) &&
           (cron->any_day || cron->any_weekday ? day && weekday : day || weekday);
}

/* Every slot of some days, by the model and by cron_next. */
static void compare(const struct cron *cron, int64_t from_s, int64_t until_s)
{
    int64_t newest = (from_s + zone_offset(from_s)) / 60, at = from_s * 1000;
    for (int64_t s = from_s + 60; s < until_s; s += 60) {
        const int64_t local = (s + zone_offset(s)) / 60;
        bool due = false;
        for (; newest < local; newest++)
            due |= fits_model(cron, newest + 1);
        if (due) {
            int64_t slot = 0;
            CHECK(cron_next(cron, zone_offset, at, &slot));
            CHECK_INT(slot / 1000, s);
            at = slot;
        }
    }
}

TEST(slots_are_those_of_a_walk_over_every_minute)
{
    UNUSED;
    static const char *const zones[] = { "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                                         "Asia/Shanghai", "America/St_Johns", "" };
    static const char *const schedules[] = { "*/7 * * * *",       "13 1-3 * * *", "0,30 2 * * *",
                                             "59 23 * * *",       "* 2 * * sun",  "0 0 28-31 * mon",
                                             "20-50/15 */2 * * *" };
    static const char *const days[] = {
        "2026-03-06 12:00", "2026-03-27 12:00", "2026-04-03 12:00",
        "2026-10-02 12:00", "2026-10-23 12:00", "2026-10-30 12:00"
    };
    for (size_t z = 0; z < sizeof zones / sizeof *zones; z++) {
        struct zone zone;
        CHECK_INT(zone_enter(&zone, slice_of(zones[z])), 0);
        for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
            const struct cron cron = parsed(schedules[i]);
            for (size_t d = 0; d < sizeof days / sizeof *days; d++)
                compare(&cron, moment(days[d]) / 1000, moment(days[d]) / 1000 + 4 * 86400);
        }
        zone_leave(&zone);
    }
}

TEST(the_latest_slot_of_an_outage)
{
    UNUSED;
    static const struct {
        const char *schedule, *missed, *now, *latest;
    } rows[] = {
        { "* * * * *", "2026-01-01 00:00", "2026-01-01 00:00", "2026-01-01 00:00" },
        { "* * * * *", "2026-01-01 00:00", "2026-01-01 00:00:59", "2026-01-01 00:00" },
        { "* * * * *", "2026-01-01 00:00", "2026-01-01 00:01", "2026-01-01 00:01" },
        { "* * * * *", "2021-01-01 00:00", "2026-01-01 00:00:30", "2026-01-01 00:00" },
        { "0 0 29 2 *", "2024-02-29 00:00", "2026-01-01 00:00", "2024-02-29 00:00" },
        { "0 0 29 2 *", "2020-02-29 00:00", "2026-01-01 00:00", "2024-02-29 00:00" },
        { "30 4 * * mon", "2026-01-05 04:30", "2026-01-27 00:00", "2026-01-26 04:30" },
        { "* 0-12 * * *", "2026-01-05 00:00", "2026-01-26 23:59:59", "2026-01-26 12:59" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct cron cron = parsed(rows[i].schedule);
        struct zone zone;
        CHECK_INT(zone_enter(&zone, SLICE("")), 0);
        CHECK_TEXT(
            text_of(cron_latest(&cron, zone_offset, moment(rows[i].missed), moment(rows[i].now))),
            rows[i].latest);
        zone_leave(&zone);
    }
}

/* ---- what is wrong -----------------------------------------------------------------------------
 */

TEST(what_is_no_schedule_is_refused_by_its_field)
{
    UNUSED;
    static const struct {
        const char *schedule, *said;
    } rows[] = {
        { "60 * * * *", "minute '60'" },
        { "* 24 * * *", "hour '24'" },
        { "* * 0 * *", "day of month '0'" },
        { "* * 32 * *", "day of month '32'" },
        { "* * * 0 *", "month '0'" },
        { "* * * 13 *", "month '13'" },
        { "* * * * 8", "day of week '8'" },
        { "* * * mon *", "month 'mon'" },
        { "* * * * january", "day of week 'january'" },
        { "* * * * fri-mon", "day of week 'fri-mon'" },
        { "5-3 * * * *", "minute '5-3'" },
        { "*/0 * * * *", "minute '*/0'" },
        { "*/60 * * * *", "minute '*/60'" },
        { "*/ * * * *", "minute '*/'" },
        { "1, * * * *", "minute '1,'" },
        { ",1 * * * *", "minute ',1'" },
        { "1-2-3 * * * *", "minute '1-2-3'" },
        { "1/2/3 * * * *", "minute '1/2/3'" },
        { "-1 * * * *", "minute '-1'" },
        { "+1 * * * *", "minute '+1'" },
        { "001 * * * *", "minute '001'" },
        { "1.5 * * * *", "minute '1.5'" },
        { "*5 * * * *", "minute '*5'" },
        { "* x * * *", "hour 'x'" },
        { "* * ? * *", "day of month '?'" },
        { "* * * *", "must be five fields" },
        { "* * * * * *", "must be five fields" },
        { "", "must be five fields" },
        { "@reboot", "must be five fields" },
        { "@daily x", "must be five fields" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cron cron;
        struct refusal why = { 0 };
        CHECK_INT(cron_parse(slice_of(rows[i].schedule), &cron, &why), STATUS_INVALID);
        CHECK_TEXT(why.field, "schedule");
        if (strncmp(why.message, rows[i].said, strlen(rows[i].said)) != 0)
            fail_msg("%s: %s", rows[i].schedule, why.message);
    }
}

TEST(a_refusal_says_what_the_field_may_be)
{
    UNUSED;
    struct cron cron;
    struct refusal why = { 0 };
    cron_parse(SLICE("* 24 * * *"), &cron, &why);
    CHECK_TEXT(why.message, "hour '24' is none: it must be * or 0 to 23, with lists 1,3, ranges "
                            "1-5 and steps */2");
    cron_parse(SLICE("* * * * 9"), &cron, &why);
    CHECK(strstr(why.message, "0 to 7 (0 and 7 are Sunday) or sun to sat"));
    cron_parse(slice_make("* *\0* * *", 9), &cron, &why);
    CHECK(strstr(why.message, "must be five fields"));
}

TEST(zones_are_files_of_the_system)
{
    UNUSED;
    static const char *const good[] = { "", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires" };
    static const char *const bad[] = { "Berlin",
                                       "../../../etc/passwd",
                                       "/etc/localtime",
                                       "Europe",
                                       "Europe/../Europe/Berlin",
                                       "tzdata.zi",
                                       "zone.tab",
                                       "right/Europe/Berlin",
                                       "Europe/Berlin\n",
                                       "UTC; rm -r",
                                       "a/b/c/d" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(zone_known(slice_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct zone zone;
        CHECK(!zone_known(slice_of(bad[i])));
        CHECK_INT(zone_enter(&zone, slice_of(bad[i])), STATUS_NOT_FOUND);
    }
    CHECK(!zone_known(slice_make("UTC\0x", 5)));
    char longest[200];
    memset(longest, 'a', sizeof longest);
    CHECK(!zone_known(slice_make(longest, sizeof longest)));
}

TEST(the_process_gets_its_own_zone_back)
{
    UNUSED;
    struct zone zone;
    setenv("TZ", "EST5", 1);
    tzset();
    CHECK_INT(zone_enter(&zone, SLICE("Asia/Shanghai")), 0);
    CHECK_INT(zone_offset(0), 8 * 3600);
    zone_leave(&zone);
    CHECK_TEXT(getenv("TZ"), "EST5");
    CHECK_INT(zone_offset(0), -5 * 3600);
    unsetenv("TZ");
    CHECK_INT(zone_enter(&zone, SLICE("")), 0);
    CHECK_INT(zone_offset(0), 0);
    zone_leave(&zone);
    CHECK(!getenv("TZ"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(the_next_slot_is_strictly_later),
        HOLDS(lists_ranges_steps_and_names),
        HOLDS(a_day_fits_by_month_or_by_week_when_both_are_restricted),
        HOLDS(days_that_not_every_month_or_year_has),
        HOLDS(local_time_of_zones),
        HOLDS(a_skipped_hour_is_due_when_it_is_over),
        HOLDS(an_hour_that_comes_twice_is_due_once),
        HOLDS(slots_are_those_of_a_walk_over_every_minute),
        HOLDS(the_latest_slot_of_an_outage),
        HOLDS(what_is_no_schedule_is_refused_by_its_field),
        HOLDS(a_refusal_says_what_the_field_may_be),
        HOLDS(zones_are_files_of_the_system),
        HOLDS(the_process_gets_its_own_zone_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
