#include "services/cli/table.h"

#include "common/scoped.h"
#include "services/cli/progress.h"
#include "tests/unit/test.h"

#include <locale.h>
#include <string.h>

static const struct table_column columns[] = { { "NAME", false }, { "SIZE", true } };

static char *print(const table_t *table, bool colour)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    CHECK_INT(table_print(table, out, colour), 0);
    (void)fclose(out);
    return text;
}

TEST(columns_are_as_wide_as_their_widest_cell)
{
    UNUSED;
    scoped(table) table = table_new(columns, 2);
    table_add(table, "a");
    table_addf(table, "%d", 12345);
    table_add(table, "longer");
    table_add(table, NULL);
    scoped_text char *text = print(table, false);
    CHECK_TEXT(text, "NAME     SIZE\n"
                     "a       12345\n"
                     "longer      -\n");
}

TEST(colours_take_no_room)
{
    UNUSED;
    scoped(table) table = table_new(columns, 2);
    table_add_colour(table, "ok", COLOUR_GOOD);
    table_add(table, "1");
    scoped_text char *text = print(table, true);
    assert_non_null(strstr(text, "\033[32mok\033[0m       1\n"));
}

TEST(wide_letters_take_their_columns)
{
    UNUSED;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    CHECK_INT(terminal_columns("\xe4\xb8\xad\xe6\x96\x87"), 4);
    CHECK_INT(terminal_columns("e\xcc\x81"), 1);
    CHECK_INT(terminal_columns("\xff\xfe"), 2);
}

TEST(nobodys_text_commands_the_terminal)
{
    UNUSED;
    scoped_text char *clean = terminal_clean("a\033[2Jb\nc\x7f\xc2\x9b"
                                             "1m\xc3\xa9");
    CHECK_TEXT(clean, "a?[2Jb?c???1m\xc3\xa9");
}

TEST(spans_read_well)
{
    UNUSED;
    static const struct {
        uint64_t ms;
        const char *should;
    } rows[] = {
        { 0, "0.0 s" },          { 840, "0.8 s" },           { 42000, "42 s" },
        { 123000, "2 min 3 s" }, { 12000000, "3 h 20 min" }, { 187200000, "2 d 4 h" },
    };
    char text[SPAN_TEXT];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_TEXT(terminal_span(rows[i].ms, text), rows[i].should);
    CHECK_TEXT(terminal_time(0, text), "-");
}

TEST(a_bar_is_never_longer_than_itself)
{
    UNUSED;
    char bar[PROGRESS_BAR + 1];
    progress_bar(-1, bar);
    CHECK_TEXT(bar, "[----------------------]");
    progress_bar(0.5, bar);
    CHECK_TEXT(bar, "[###########-----------]");
    progress_bar(7, bar);
    CHECK_TEXT(bar, "[######################]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(columns_are_as_wide_as_their_widest_cell),
        HOLDS(colours_take_no_room),
        HOLDS(wide_letters_take_their_columns),
        HOLDS(nobodys_text_commands_the_terminal),
        HOLDS(spans_read_well),
        HOLDS(a_bar_is_never_longer_than_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
