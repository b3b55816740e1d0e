#include "services/cli/flags.h"

#include "common/status.h"
#include "services/cli/cli.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = 16 };

/* Parses a line of words separated by single blanks; what is no flag is left in rest. */
static int parse(unsigned on, const char *line, struct options *options, char *rest)
{
    static char text[256];
    char *argv[WORDS + 1] = { NULL };
    int argc = 0;
    int first = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    char *at = text;
    for (char *word; argc < WORDS && (word = strsep(&at, " "));)
        argv[argc++] = word;
    int r = flags_parse(on, argc, argv, options, &first);
    rest[0] = '\0';
    for (int i = first; r == 0 && i < argc; i++) {
        strncat(rest, argv[i], 64);
        strncat(rest, i + 1 < argc ? " " : "", 2);
    }
    return r;
}

TEST(flags_may_stand_anywhere)
{
    UNUSED;
    struct options options;
    char rest[256];
    CHECK_INT(parse(ON_SUBMIT, "submit a.b --wait k=1 --id=x -p high k=2 -j", &options, rest), 0);
    CHECK(options.wait);
    CHECK(options.json);
    CHECK_TEXT(options.id, "x");
    CHECK_TEXT(options.priority, "high");
    CHECK_TEXT(rest, "a.b k=1 k=2");
    CHECK_INT(options.attempt_ms, -1);
    CHECK_INT(options.timeout_ms, -1);
}

TEST(the_same_name_means_what_the_verb_says)
{
    UNUSED;
    struct options options;
    char rest[256];
    CHECK_INT(parse(ON_LIST, "list --limit 7", &options, rest), 0);
    CHECK_INT(options.items, 7);
    CHECK_INT(options.attempt_ms, -1);
    CHECK_INT(parse(ON_SUBMIT, "submit a.b --limit 7", &options, rest), 0);
    CHECK_INT(options.attempt_ms, 7000);
    CHECK_INT(options.items, -1);
}

TEST(a_repeatable_flag_keeps_all)
{
    UNUSED;
    struct options options;
    char rest[256];
    CHECK_INT(parse(ON_UP, "up --input-root /a --input-root=/b --workers 0", &options, rest), 0);
    CHECK_INT(options.input_roots.count, 2);
    CHECK_TEXT(options.input_roots.items[1], "/b");
    CHECK_INT(options.workers, 0);
}

TEST(words_after_two_dashes_are_no_flags)
{
    UNUSED;
    struct options options;
    char rest[256];
    CHECK_INT(parse(ON_SHOW, "show -- --json", &options, rest), 0);
    CHECK(!options.json);
    CHECK_TEXT(rest, "--json");
}

TEST(what_is_wrong_is_refused)
{
    UNUSED;
    static const struct {
        unsigned on;
        const char *line;
    } rows[] = {
        { ON_SHOW, "show --wait x" },       { ON_SHOW, "show --data" },
        { ON_SHOW, "show --json=1" },       { ON_LIST, "list --limit many" },
        { ON_LIST, "list --limit -1" },     { ON_SHOW, "show -t 5y" },
        { ON_SHOW, "show --timeout soon" }, { ON_SHOW, "show -w" },
        { ON_HELP, "help --json" },
    };
    struct options options;
    char rest[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_INT(parse(rows[i].on, rows[i].line, &options, rest), STATUS_INVALID);
}

TEST(times_have_units)
{
    UNUSED;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        { "0", 0 },       { "2", 2000 },      { "1.5", 1500 }, { "250ms", 250 }, { "2s", 2000 },
        { "3m", 180000 }, { "1h", 3600000 },  { "", -1 },      { "s", -1 },      { "-1", -1 },
        { "5 s", -1 },    { "1d", 86400000 }, { "inf", -1 },   { "nan", -1 },    { "1e300", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_INT(flags_time(rows[i].text), rows[i].ms);
}

TEST(every_verb_has_its_help)
{
    UNUSED;
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        cli_help_print(out, verb);
        (void)fclose(out);
        assert_non_null(strstr(text, verb->name));
        assert_non_null(strstr(text, "--help"));
        assert_non_null(strstr(text, "examples:"));
        assert_ptr_equal(cli_verb_find(verb->name), verb);
        free(text);
    }
    assert_null(cli_verb_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(flags_may_stand_anywhere),    HOLDS(the_same_name_means_what_the_verb_says),
        HOLDS(a_repeatable_flag_keeps_all), HOLDS(words_after_two_dashes_are_no_flags),
        HOLDS(what_is_wrong_is_refused),    HOLDS(times_have_units),
        HOLDS(every_verb_has_its_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
