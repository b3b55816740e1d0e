#include "services/cli/flags.h"

#include "common/status.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum flag_kind { FLAG_SWITCH, FLAG_TEXT, FLAG_TEXTS, FLAG_WHOLE, FLAG_TIME };

struct flag {
    const char *name;
    const char *value;
    const char *doc;
    size_t offset;
    enum flag_kind kind;
    unsigned on;
    char letter;
};

static const struct flag flags[] = {
#define FLAG_ROW(kind, field, name, letter, value, on, doc) \
    { name, value, doc, offsetof(struct options, field), FLAG_##kind, on, letter },
    FLAGS(FLAG_ROW)
#undef FLAG_ROW
};

enum { FLAGS_COUNT = sizeof flags / sizeof *flags, LONG_BASE = 256, HOUR_MS = 3600000 };

int64_t flags_time(const char *text)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = { { "", 1e3 },  { "ms", 1 },   { "s", 1e3 },
                  { "m", 6e4 }, { "h", 36e5 }, { "d", 864e5 } };

    if (*text < '0' || *text > '9')
        return -1;
    char *end;
    double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].name) == 0 && number * units[i].ms < 1e15)
            return (int64_t)llround(number * units[i].ms);
    return -1;
}

static bool take_whole(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < 0)
        return false;
    *value = number;
    return true;
}

static bool take_time(const char *text, int64_t *value)
{
    int64_t ms = flags_time(text);
    if (ms < 0)
        return false;
    *value = ms;
    return true;
}

static bool take_more(const char *text, struct texts *texts)
{
    if (texts->count == TEXTS_MAX)
        return false;
    texts->items[texts->count++] = text;
    return true;
}

static bool take(const struct flag *flag, const char *text, struct options *options)
{
    void *field = (char *)options + flag->offset;
    switch (flag->kind) {
    case FLAG_SWITCH:
        *(bool *)field = true;
        return true;
    case FLAG_TEXT:
        *(const char **)field = text;
        return true;
    case FLAG_TEXTS:
        return take_more(text, field);
    case FLAG_WHOLE:
        return take_whole(text, field);
    case FLAG_TIME:
        return take_time(text, field);
    }
    return false;
}

static const char *expected(enum flag_kind kind)
{
    if (kind == FLAG_WHOLE)
        return "a number of 0 or more";
    if (kind == FLAG_TIME)
        return "a time such as 30s, 500ms or 2m";
    return "fewer of them";
}

/* getopt_long's tables for one verb. A long option's value is LONG_BASE + its row. */
struct grammar {
    struct option longs[FLAGS_COUNT + 1];
    char shorts[2 * FLAGS_COUNT + 3];
};

static void grammar_make(unsigned on, struct grammar *ret_grammar)
{
    struct grammar g = { .shorts = ":" };
    size_t count = 0;
    size_t length = 1;
    for (int i = 0; i < FLAGS_COUNT; i++) {
        const struct flag *flag = &flags[i];
        if (!(flag->on & on))
            continue;
        g.longs[count++] =
            (struct option){ flag->name, flag->value ? required_argument : no_argument, NULL,
                             LONG_BASE + i };
        if (flag->letter)
            g.shorts[length++] = flag->letter;
        if (flag->letter && flag->value)
            g.shorts[length++] = ':';
    }
    *ret_grammar = g;
}

static const struct flag *flag_of(unsigned on, int option)
{
    if (option >= LONG_BASE)
        return &flags[option - LONG_BASE];
    for (size_t i = 0; i < FLAGS_COUNT; i++)
        if ((flags[i].on & on) && flags[i].letter && flags[i].letter == option)
            return &flags[i];
    return NULL;
}

static int refuse(const char *verb, const char *flag, const char *why)
{
    fprintf(stderr, "gantry %s: %s %s (see `gantry help %s`)\n", verb, flag, why, verb);
    return STATUS_INVALID;
}

static void options_init(struct options *ret_options)
{
    *ret_options = (struct options){ 0 };
    for (size_t i = 0; i < FLAGS_COUNT; i++)
        if (flags[i].kind == FLAG_WHOLE || flags[i].kind == FLAG_TIME)
            *(int64_t *)((char *)ret_options + flags[i].offset) = -1;
}

int flags_parse(unsigned on, int argc, char **argv, struct options *ret_options, int *ret_first)
{
    struct grammar grammar;
    struct options options;
    grammar_make(on, &grammar);
    options_init(&options);

    int option;
    optind = 0; /* glibc: start anew, also when called twice */
    opterr = 0;
    while ((option = getopt_long(argc, argv, grammar.shorts, grammar.longs, NULL)) != -1) {
        const struct flag *flag = option == '?' || option == ':' ? NULL : flag_of(on, option);
        const char *given = argv[optind > 0 ? optind - 1 : 0];
        if (option == ':')
            return refuse(argv[0], given, "needs a value");
        if (!flag)
            return refuse(argv[0], given, "is no flag of this verb, or takes no value");
        if (!take(flag, optarg, &options)) {
            fprintf(stderr, "gantry %s: --%s takes %s, not %s\n", argv[0], flag->name,
                    expected(flag->kind), optarg);
            return STATUS_INVALID;
        }
    }
    *ret_options = options;
    *ret_first = optind;
    return 0;
}

void flags_print(FILE *out, unsigned on)
{
    for (size_t i = 0; i < FLAGS_COUNT; i++) {
        const struct flag *flag = &flags[i];
        if (!(flag->on & on))
            continue;
        char left[64];
        char letter[] = { '-', flag->letter, ',', ' ', '\0' };
        (void)snprintf(left, sizeof left, "%s--%s%s%s", flag->letter ? letter : "    ", flag->name,
                       flag->value ? " " : "", flag->value ? flag->value : "");
        fprintf(out, "  %-26s  %s\n", left, flag->doc);
    }
}
