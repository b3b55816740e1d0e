/* gantry-sim: the real broker and libgantry in worlds made from seeds. */
#include "tests/sim/schedule.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <time.h>

enum { TOLD_EACH_S = 10, MINUTE_S = 60 };

static int usage(FILE *out, int code)
{
    (void)fprintf(
        out,
        "usage: gantry-sim [--seeds A..B] [--minutes N] [--named [NAME]] [--verbose]\n\n"
        "Runs brokers, clients and workers (the real code) and simulated state services in one\n"
        "process, on a network and a clock that are made up from a seed. The same seed is the\n"
        "same run. What does not hold ends it, with the seed and the last events.\n\n"
        "  --seeds A..B   random schedules of these seeds (default 1..1000)\n"
        "  --minutes N    from seed A on, for so long\n"
        "  --named [NAME] the schedules that have a name, or one of them\n"
        "  --list         their names\n"
        "  --verbose      every message and event\n"
        "  --keep-going   on to the next seed after a failure\n");
    return code;
}

struct wish {
    uint64_t first, last;
    int64_t minutes;
    const char *name;
    bool named, verbose, keep_going, twice;
};

static int64_t seconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

static bool run_seed(const struct wish *wish, uint64_t seed)
{
    bool good = schedule_of_seed(seed, wish->verbose);
    uint64_t trace = world.trace;
    if (!wish->twice || !good)
        return good;
    good = schedule_of_seed(seed, false) && world.trace == trace;
    if (!good)
        (void)printf("FAILED seed %" PRIu64 ": another run of it is another one\n", seed);
    return good;
}

static int run_seeds(const struct wish *wish)
{
    int64_t began = seconds(), told = began;
    uint64_t count = 0, failed = 0, events = 0, messages = 0;
    int64_t virtual_us = 0;
    for (uint64_t seed = wish->first; wish->minutes || seed <= wish->last; seed++) {
        bool good = run_seed(wish, seed);
        count++;
        events += world.events;
        messages += world.messages;
        virtual_us += world.now_us;
        failed += !good;
        if (!good && !wish->keep_going)
            break;
        int64_t now = (count & 63) == 0 ? seconds() : told;
        if (wish->minutes && now - began >= wish->minutes * MINUTE_S)
            break;
        if (now - told < TOLD_EACH_S)
            continue;
        told = now;
        (void)printf("%" PRIu64 " schedules, at seed %" PRIu64 ", %" PRIu64 " failed\n", count,
                     seed, failed);
        (void)fflush(stdout);
    }
    int64_t took = seconds() - began;
    (void)printf("%" PRIu64 " schedules (%" PRIu64 " messages, %" PRIu64 " events, %" PRId64
                 " s of virtual time) in %" PRId64 " s, %" PRIu64 " failed\n",
                 count, messages, events, virtual_us / SECOND_US, took, failed);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_named(const struct wish *wish)
{
    unsigned ran = 0, failed = 0;
    for (unsigned i = 0; i < named_count; i++) {
        const struct named *row = named_at(i);
        if (wish->name && strcmp(wish->name, named_name(row)) != 0)
            continue;
        bool good = true;
        for (uint64_t seed = wish->first; seed <= wish->last && good; seed++)
            good = schedule_named(row, seed, wish->verbose);
        (void)printf("%s %s: %s\n", good ? "ok  " : "FAIL", named_name(row), named_what(row));
        ran++;
        failed += !good;
    }
    if (!ran)
        (void)fprintf(stderr, "gantry-sim: no schedule has that name; see --list\n");
    return failed || !ran ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool read_range(const char *text, struct wish *wish)
{
    char *end;
    wish->first = strtoull(text, &end, 10);
    wish->last = wish->first;
    if (end == text)
        return false;
    if (strncmp(end, "..", 2) == 0) {
        const char *rest = end + 2;
        wish->last = strtoull(rest, &end, 10);
        if (end == rest)
            return false;
    }
    return *end == '\0' && wish->first <= wish->last;
}

static bool read_flag(char **argv, int *at, struct wish *wish)
{
    const char *flag = argv[*at], *value = argv[*at + 1];
    if (strcmp(flag, "--verbose") == 0)
        return wish->verbose = true;
    if (strcmp(flag, "--twice") == 0)
        return wish->twice = true;
    if (strcmp(flag, "--keep-going") == 0)
        return wish->keep_going = true;
    if (strcmp(flag, "--named") == 0) {
        if (value && *value != '-')
            wish->name = argv[++*at];
        return wish->named = true;
    }
    if (!value)
        return false;
    ++*at;
    if (strcmp(flag, "--seeds") == 0)
        return read_range(value, wish);
    if (strcmp(flag, "--minutes") == 0)
        return (wish->minutes = strtoll(value, NULL, 10)) > 0;
    return false;
}

int main(int argc, char **argv)
{
    struct wish wish = { .first = 1, .last = 0 };
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30); /* a world's memory serves the next one */
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, EXIT_SUCCESS);
        if (strcmp(argv[i], "--list") == 0) {
            for (unsigned k = 0; k < named_count; k++)
                (void)printf("%-28s %s\n", named_name(named_at(k)), named_what(named_at(k)));
            return EXIT_SUCCESS;
        }
        if (!read_flag(argv, &i, &wish))
            return usage(stderr, 2);
    }
    if (!wish.last)
        wish.last = wish.named ? 20 : 1000;
    return wish.named ? run_named(&wish) : run_seeds(&wish);
}
