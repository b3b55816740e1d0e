#include "services/state/cron_time.h"

#include "common/status.h"

#include <strings.h>

enum {
    TEXT_MAX = 128,
    NAME_SIZE = 3, /* jan, mon */
    DAY_S = 86400,
    DAY_MINUTES = 1440,
    HOUR_MINUTES = 60,
    MINUTE_S = 60,
    SECOND_MS = 1000,
    YEAR_DAYS = 366,
    WEEK = 7
};

static const struct field {
    const char *name;
    unsigned least, most;
    const char *words; /* names of least and those that follow */
} fields[CRON_FIELDS_COUNT] = {
    [CRON_MINUTE] = { "minute", 0, 59, "" },
    [CRON_HOUR] = { "hour", 0, 23, "" },
    [CRON_DAY] = { "day of month", 1, 31, "" },
    [CRON_MONTH] = { "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    [CRON_WEEKDAY] = { "day of week", 0, WEEK, "sunmontuewedthufrisat" },
};

static const char *const shorts[][2] = {
    { "@hourly", "0 * * * *" },  { "@daily", "0 0 * * *" },  { "@weekly", "0 0 * * 0" },
    { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
};

static bool read_word(const struct field *field, struct slice text, unsigned *ret_number)
{
    if (text.size != NAME_SIZE)
        return false;
    for (unsigned i = 0; field->words[(size_t)i * NAME_SIZE]; i++) {
        if (strncasecmp(field->words + (size_t)i * NAME_SIZE, text.data, NAME_SIZE) == 0) {
            *ret_number = field->least + i;
            return true;
        }
    }
    return false;
}

static bool read_digits(struct slice text, unsigned *ret_number)
{
    const char *at = text.data;
    unsigned number = 0;
    if (text.size == 0 || text.size > 2)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        number = number * 10 + (unsigned)(at[i] - '0');
    }
    *ret_number = number;
    return true;
}

static bool read_number(const struct field *field, struct slice text, unsigned *ret_number)
{
    if (read_word(field, text, ret_number))
        return true;
    return read_digits(text, ret_number) && *ret_number >= field->least &&
           *ret_number <= field->most;
}

/* Cuts text at the first mark; false, and all in head, when there is none. */
static bool cut(struct slice text, char mark, struct slice *ret_head, struct slice *ret_rest)
{
    const char *begin = text.data;
    const char *at = text.size ? memchr(begin, mark, text.size) : NULL;
    *ret_head = at ? slice_make(begin, (size_t)(at - begin)) : text;
    *ret_rest = at ? slice_make(at + 1, text.size - ret_head->size - 1) : (struct slice){ 0 };
    return at != NULL;
}

/* "*", "7" or "1-5"; "7/2" goes on to the field's end. */
static bool read_range(const struct field *field, struct slice text, bool stepped,
                       unsigned *ret_first, unsigned *ret_last)
{
    struct slice low, high;
    if (slice_is(text, "*")) {
        *ret_first = field->least;
        *ret_last = field->most;
        return true;
    }
    const bool ranged = cut(text, '-', &low, &high);
    if (!read_number(field, low, ret_first))
        return false;
    *ret_last = stepped ? field->most : *ret_first;
    if (ranged && !read_number(field, high, ret_last))
        return false;
    if (ranged && *ret_last == 0 && field->most == WEEK)
        *ret_last = WEEK; /* fri-sun */
    return *ret_first <= *ret_last;
}

static bool read_item(const struct field *field, struct slice item, uint64_t *bits)
{
    struct slice range, rest;
    unsigned first, last, step = 1;
    const bool stepped = cut(item, '/', &range, &rest);
    if (stepped && (!read_digits(rest, &step) || step == 0 || step > field->most))
        return false;
    if (!read_range(field, range, stepped, &first, &last))
        return false;
    for (unsigned n = first; n <= last; n += step)
        *bits |= (uint64_t)1 << n;
    return true;
}

static bool read_field(const struct field *field, struct slice text, uint64_t *bits)
{
    struct slice item, rest = text;
    bool more = true;
    while (more) {
        more = cut(rest, ',', &item, &rest);
        if (!read_item(field, item, bits))
            return false;
    }
    return true;
}

/* The next word of text, which moves behind it; empty at the end. */
static struct slice next_word(const char **text)
{
    *text += strspn(*text, " \t");
    const struct slice word = slice_make(*text, strcspn(*text, " \t"));
    *text += word.size;
    return word;
}

static const char *spelt_out(const char *text)
{
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        if (strcmp(text, shorts[i][0]) == 0)
            return shorts[i][1];
    return text;
}

static int refuse_field(const struct field *field, struct slice word, struct refusal *refusal)
{
    const char *words = field->most == WEEK ? " (0 and 7 are Sunday) or sun to sat"
                        : *field->words     ? " or jan to dec"
                                            : "";
    return refusal_say(refusal, STATUS_INVALID, "schedule",
                       "%s '%.*s' is none: it must be * or %u to %u%s, with lists 1,3, ranges 1-5 "
                       "and steps */2",
                       field->name, SLICE_ARG(word), field->least, field->most, words);
}

static int refuse_count(struct refusal *refusal)
{
    return refusal_say(refusal, STATUS_INVALID, "schedule",
                       "must be five fields: minute hour day-of-month month day-of-week, or "
                       "@hourly, @daily, @weekly, @monthly or @yearly");
}

int cron_parse(struct slice given, struct cron *ret_cron, struct refusal *refusal)
{
    struct cron cron = { 0 };
    char copy[TEXT_MAX + 1];
    struct slice words[CRON_FIELDS_COUNT];
    if (!slice_copy(given, copy, sizeof copy))
        return refuse_count(refusal);
    const char *text = spelt_out(copy);
    for (size_t i = 0; i < CRON_FIELDS_COUNT; i++)
        words[i] = next_word(&text);
    if (words[CRON_WEEKDAY].size == 0 || next_word(&text).size)
        return refuse_count(refusal);
    for (size_t i = 0; i < CRON_FIELDS_COUNT; i++)
        if (!read_field(&fields[i], words[i], &cron.fits[i]))
            return refuse_field(&fields[i], words[i], refusal);
    if (cron.fits[CRON_WEEKDAY] & (uint64_t)1 << WEEK)
        cron.fits[CRON_WEEKDAY] |= 1;
    cron.any_day = *(const char *)words[CRON_DAY].data == '*';
    cron.any_weekday = *(const char *)words[CRON_WEEKDAY].data == '*';
    *ret_cron = cron;
    return 0;
}

/* ---- moments ----------------------------------------------------------------------------------
 */

static bool fits(const struct cron *self, int field, int64_t number)
{
    return self->fits[field] >> number & 1;
}

static int64_t floor_div(int64_t n, int64_t by)
{
    return n >= 0 ? n / by : -((by - 1 - n) / by);
}

/* day: since 1970. Howard Hinnant's civil_from_days: years begin in March, so that the leap day is
 * their last. */
static void civil(int64_t day, int64_t *ret_month, int64_t *ret_day)
{
    const int64_t shifted = day + 719468;
    const int64_t era_day = shifted - floor_div(shifted, 146097) * 146097;
    const int64_t year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    const int64_t year_day = era_day - (365 * year + year / 4 - year / 100);
    const int64_t month = (5 * year_day + 2) / 153;
    *ret_day = year_day - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
}

static bool day_fits(const struct cron *self, int64_t day)
{
    int64_t month, month_day;
    civil(day, &month, &month_day);
    const int64_t thursday = day + 4; /* the first of January 1970 */
    const bool by_month = fits(self, CRON_DAY, month_day);
    const bool by_week = fits(self, CRON_WEEKDAY, thursday - floor_div(thursday, WEEK) * WEEK);
    if (!fits(self, CRON_MONTH, month))
        return false;
    return self->any_day || self->any_weekday ? by_month && by_week : by_month || by_week;
}

/* The first fitting minute of a day from minute on; DAY_MINUTES when there is none. */
static int64_t minute_of_day(const struct cron *self, int64_t minute)
{
    while (minute < DAY_MINUTES && !(fits(self, CRON_HOUR, minute / HOUR_MINUTES) &&
                                     fits(self, CRON_MINUTE, minute % HOUR_MINUTES)))
        minute++;
    return minute;
}

/* The first fitting minute from minute on, local ones since 1970. */
static bool next_local(const struct cron *self, int64_t minute, int64_t last, int64_t *ret_minute)
{
    int64_t day = floor_div(minute, DAY_MINUTES);
    int64_t from = minute - day * DAY_MINUTES;
    for (; day * DAY_MINUTES <= last; day++, from = 0) {
        const int64_t at = day_fits(self, day) ? minute_of_day(self, from) : DAY_MINUTES;
        if (at < DAY_MINUTES) {
            *ret_minute = day * DAY_MINUTES + at;
            return true;
        }
    }
    return false;
}

/* When the zone's offset is no longer what it was at early: the first such moment up to late. */
static int64_t change_between(cron_offset_fn *offset, int64_t early, int64_t late)
{
    const int64_t before = offset(early);
    while (late - early > 1) {
        const int64_t middle = early + (late - early) / 2;
        if (offset(middle) == before)
            early = middle;
        else
            late = middle;
    }
    return late;
}

/* The moment of a local time. A day before and after it, whatever the zone, the clock shows what
 * it did before and after a change that is near. */
static int64_t moment_of(cron_offset_fn *offset, int64_t local_s)
{
    const int64_t before = offset(local_s - DAY_S), after = offset(local_s + DAY_S);
    if (offset(local_s - before) == before)
        return local_s - before;
    if (offset(local_s - after) == after)
        return local_s - after;
    return change_between(offset, local_s - DAY_S, local_s + DAY_S);
}

/* Moments never go back as local times go on, so what the loop passes over is no later than after;
 * there are as many as a gap or a repeated hour has. */
bool cron_next(const struct cron *self, cron_offset_fn *offset, int64_t after_ms, int64_t *ret_ms)
{
    const int64_t after = floor_div(after_ms, SECOND_MS);
    int64_t minute = floor_div(after + offset(after), MINUTE_S) + 1;
    const int64_t last = minute + (int64_t)CRON_YEARS * YEAR_DAYS * DAY_MINUTES;
    for (; next_local(self, minute, last, &minute); minute++) {
        const int64_t moment = moment_of(offset, minute * MINUTE_S);
        if (moment > after) {
            *ret_ms = moment * SECOND_MS;
            return true;
        }
    }
    return false;
}

static bool comes(const struct cron *self, cron_offset_fn *offset, int64_t after_ms, int64_t now_ms,
                  int64_t *ret_ms)
{
    int64_t slot;
    if (!cron_next(self, offset, after_ms, &slot) || slot > now_ms)
        return false;
    *ret_ms = slot;
    return true;
}

/* An outage may have been a year of minutes, so it is halved and not walked. What Redis says may be
 * any number: no slot is before 1970. */
int64_t cron_latest(const struct cron *self, cron_offset_fn *offset, int64_t slot_ms,
                    int64_t now_ms)
{
    int64_t low = slot_ms > 0 ? slot_ms : 0, high = now_ms, latest = slot_ms;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (comes(self, offset, middle, now_ms, &latest))
            low = latest;
        else
            high = middle;
    }
    return latest;
}
