/* The tables of docs/nodes.md are the rows of services/worker/nodes/. Run with --write, this
 * program brings the page up to date. */
#include "tests/unit/test.h"

#include "proto/codec.h"
#include "services/worker/node.h"

#include <stdio.h>
#include <stdlib.h>

#define BEGIN "<!-- nodes: ffmpeg -->\n"
#define END "<!-- /nodes -->"

static void print_value(FILE *out, struct gantry_bytes value)
{
    struct slice bytes = slice_make(value.data, value.size);
    struct slice text;
    double number;
    bool truth;
    if (codec_bool(bytes, &truth))
        fputs(truth ? "true" : "false", out);
    else if (codec_number(bytes, &number))
        fprintf(out, "%g", number);
    else if (codec_str(bytes, &text))
        fprintf(out, "%.*s", SLICE_ARG(text));
}

static void print_names(FILE *out, const char *const *names)
{
    for (size_t i = 0; names && names[i]; i++)
        fprintf(out, "%s`%s`", i ? ", " : "", names[i]);
}

static void print_node(FILE *out, const struct node_row *row)
{
    fprintf(out, "### %s\n\n%s.\n\n| input | type | default | what it is |\n|---|---|---|---|\n",
            row->name, row->doc);
    for (size_t i = 0; i < row->inputs_count; i++) {
        const struct gantry_input *input = &row->inputs[i];
        fprintf(out, "| `%s` | %s | ", input->name, input->type);
        if (input->required)
            fputs("required", out);
        else
            print_value(out, input->fallback);
        fprintf(out, " | %s |\n", input->doc);
    }
    fputs("\nOutputs ", out);
    print_names(out, row->outputs);
    fputs("; key ", out);
    print_names(out, row->key);
    fputs(".\n\n", out);
}

static char *rows_text(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < nodes_ffmpeg.count; i++)
        print_node(out, &nodes_ffmpeg.rows[i]);
    fclose(out);
    return text;
}

static const char *page_path(void)
{
    static char path[4096];
    const char *top = getenv("GANTRY_SOURCE");
    (void)snprintf(path, sizeof path, "%s/docs/nodes.md", top ? top : GANTRY_TOP);
    return path;
}

/* Where the tables stand in the page; ret_before ends with BEGIN. */
static char *read_page(char **ret_tables, char **ret_after)
{
    FILE *file = fopen(page_path(), "r");
    char *page = NULL;
    size_t size = 0;
    CHECK(file != NULL);
    CHECK(getdelim(&page, &size, '\0', file) > 0);
    fclose(file);
    char *begin = strstr(page, BEGIN);
    CHECK(begin != NULL);
    *ret_tables = begin + strlen(BEGIN);
    *ret_after = strstr(*ret_tables, END);
    CHECK(*ret_after != NULL);
    return page;
}

TEST(the_page_has_the_rows)
{
    UNUSED;
    char *tables, *after;
    char *rows = rows_text();
    char *page = read_page(&tables, &after);
    *after = '\0';
    CHECK_TEXT(tables, rows);
    free(page);
    free(rows);
}

static int write_page(void)
{
    char *tables, *after;
    char *rows = rows_text();
    char *page = read_page(&tables, &after);
    FILE *file = fopen(page_path(), "w");
    fwrite(page, 1, (size_t)(tables - page), file);
    fprintf(file, "%s%s", rows, after);
    free(page);
    free(rows);
    return fclose(file);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { HOLDS(the_page_has_the_rows) };
    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return write_page();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
