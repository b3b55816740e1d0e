/* The tables of docs/protocol.md are the rows of the schema. Run with --write, this program brings
 * the page up to date. */
#include "tests/unit/test.h"

#include "common/status.h"
#include "proto/message.h"

#include <stdio.h>
#include <stdlib.h>

static void print_header(FILE *out)
{
    int place = 0;
    fputs("| place | element | type | what it is |\n|---|---|---|---|\n", out);
#define HEADER_U32 "u32"
#define HEADER_U64 "u64"
#define HEADER_STR "text"
#define HEADER_ROW(name, kind, text) \
    fprintf(out, "| %d | %s | %s | %s |\n", place++, #name, HEADER_##kind, text);
    HEADER_FIELDS(HEADER_ROW)
}

static const char *quoted(const char *body, char text[64])
{
    if (*body == '\0' || strchr(body, ' '))
        return body;
    snprintf(text, 64, "`%s`", body);
    return text;
}

static void print_verbs(FILE *out)
{
    char body[64], answer[64];
    fputs("| verb | number | said by | body | answer's body | what it asks "
          "|\n|---|---|---|---|---|---|\n",
          out);
#define VERB_LINE(name, number, who, asked, answered, text)                                    \
    fprintf(out, "| %s | %d | %s | %s | %s | %s |\n", #name, number, who, quoted(asked, body), \
            quoted(answered, answer), text);
    VERBS(VERB_LINE)
}

static void print_statuses(FILE *out)
{
    fputs("| status | number | as HTTP | what it says |\n|---|---|---|---|\n", out);
#define STATUS_LINE(name, code, http, text) \
    fprintf(out, "| %s | %d | %d | %s |\n", #name, code, http, text);
    STATUSES(STATUS_LINE)
}

static void print_states(FILE *out)
{
    fputs("| state | ended |\n|---|---|\n", out);
#define STATE_LINE(name, number, text, terminal) \
    fprintf(out, "| %s | %s |\n", text, (terminal) ? "yes" : "no");
    STATES(STATE_LINE)
}

static void print_reasons(FILE *out)
{
    fputs("| reason | what it means |\n|---|---|\n", out);
#define REASON_LINE(name, text, doc) fprintf(out, "| %s | %s |\n", text, doc);
    REASONS(REASON_LINE)
}

static void print_priorities(FILE *out)
{
    fputs("| priority | number |\n|---|---|\n", out);
#define PRIORITY_LINE(name, number, text) fprintf(out, "| %s | %d |\n", text, number);
    PRIORITIES(PRIORITY_LINE)
}

static void print_bodies(FILE *out)
{
    static const char *const kinds[] = {
        [MESSAGE_STR] = "text",   [MESSAGE_BIN] = "bytes",   [MESSAGE_RAW] = "value",
        [MESSAGE_U32] = "u32",    [MESSAGE_U64] = "u64",     [MESSAGE_I64] = "i64",
        [MESSAGE_F64] = "number", [MESSAGE_BOOL] = "switch",
    };
    for (size_t i = 0; message_layouts[i]; i++) {
        const struct message_layout *layout = message_layouts[i];
        fprintf(out,
                "%s### %s\n\n| field | type | must be there | at most | what it is "
                "|\n|---|---|---|---|---|\n",
                i ? "\n" : "", layout->name);
        for (uint32_t k = 0; k < layout->count; k++) {
            const struct message_field *field = &layout->fields[k];
            char most[32] = "";
            if (field->most)
                snprintf(most, sizeof most, "%u bytes", field->most);
            fprintf(out, "| %s | %s | %s | %s | %s |\n", field->name, kinds[field->kind],
                    field->required ? "yes" : "", most, field->text);
        }
    }
}

static const struct {
    const char *name;
    void (*print)(FILE *out);
} tables[] = {
    { "header", print_header }, { "verbs", print_verbs },           { "statuses", print_statuses },
    { "states", print_states }, { "priorities", print_priorities }, { "reasons", print_reasons },
    { "bodies", print_bodies },
};

enum { TABLES = sizeof tables / sizeof *tables };

static char *read_page(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *page = fopen(PAGE, "r");
    assert_non_null(page);
    ssize_t got = getdelim(&text, &size, '\0', page);
    assert_true(got > 0);
    fclose(page);
    return text;
}

static char *table_text(size_t i)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tables[i].print(out);
    fclose(out);
    return text;
}

/* What stands between the markers of table i; *ret_end is where the second begins. */
static char *find_table(char *page, size_t i, char **ret_end)
{
    char marker[64];
    snprintf(marker, sizeof marker, "<!-- %s -->\n", tables[i].name);
    char *from = strstr(page, marker);
    assert_non_null(from);
    from += strlen(marker);
    snprintf(marker, sizeof marker, "<!-- /%s -->\n", tables[i].name);
    *ret_end = strstr(from, marker);
    assert_non_null(*ret_end);
    return from;
}

TEST(the_page_has_the_tables_of_the_schema)
{
    UNUSED;
    char *page = read_page();
    for (size_t i = 0; i < TABLES; i++) {
        char *end;
        char *from = find_table(page, i, &end);
        char *wanted = table_text(i);
        if ((size_t)(end - from) != strlen(wanted) || memcmp(from, wanted, strlen(wanted)) != 0)
            fail_msg(
                "docs/protocol.md: table %s is not as the rows say; run this test with --write",
                tables[i].name);
        free(wanted);
    }
    free(page);
}

static int write_page(void)
{
    for (size_t i = 0; i < TABLES; i++) {
        char *page = read_page();
        char *table = table_text(i);
        char *end;
        char *from = find_table(page, i, &end);
        FILE *out = fopen(PAGE, "w");
        assert_non_null(out);
        fprintf(out, "%.*s%s%s", (int)(from - page), page, table, end);
        fclose(out);
        free(table);
        free(page);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HOLDS(the_page_has_the_tables_of_the_schema),
    };
    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return write_page();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
