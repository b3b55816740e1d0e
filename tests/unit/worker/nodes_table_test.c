/* The tables of docs/nodes.md are the rows of services/worker/nodes/, each service's behind
 * <!-- nodes: SERVICE -->. Run with --write, this program brings the page up to date. */
#include "tests/unit/test.h"

#include "proto/codec.h"
#include "services/worker/node.h"

#include <stdio.h>
#include <stdlib.h>

#define END "<!-- /nodes -->"

static const struct node_table *const tables[] = { &nodes_ffmpeg, &nodes_audio_separator,
                                                   &nodes_storage, &nodes_video };
enum { TABLES = sizeof tables / sizeof tables[0] };

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

/* "a,b" as `a`, else `b`. */
static void print_upstream(FILE *out, const char *outputs)
{
    for (const char *at = outputs; at && *at;) {
        size_t size = strcspn(at, ",");
        fprintf(out, "%s`%.*s`", at == outputs ? "" : ", else ", (int)size, at);
        at += size + (at[size] == ',');
    }
}

static void print_node(FILE *out, const struct node_row *row)
{
    fprintf(out,
            "### %s\n\n%s.\n\n| input | type | default | upstream | what it is |\n"
            "|---|---|---|---|---|\n",
            row->name, row->doc);
    for (size_t i = 0; i < row->inputs_count; i++) {
        const struct gantry_input *input = &row->inputs[i];
        fprintf(out, "| `%s` | %s | ", input->name, input->type);
        if (input->required)
            fputs("required", out);
        else
            print_value(out, input->fallback);
        fputs(" | ", out);
        print_upstream(out, input->upstream);
        fprintf(out, " | %s |\n", input->doc);
    }
    fputs("\nOutputs ", out);
    print_names(out, row->outputs);
    fputs("; key ", out);
    print_names(out, row->key);
    fputs(".\n\n", out);
}

static char *rows_text(const struct node_table *table)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < table->count; i++)
        print_node(out, &table->rows[i]);
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

static char *read_page(void)
{
    FILE *file = fopen(page_path(), "r");
    char *page = NULL;
    size_t size = 0;
    CHECK(file != NULL);
    CHECK(getdelim(&page, &size, '\0', file) > 0);
    fclose(file);
    return page;
}

/* Where the rows of a service stand in the page. */
static char *find_rows(char *page, const struct node_table *table, char **ret_after)
{
    char begin[128];
    (void)snprintf(begin, sizeof begin, "<!-- nodes: %s -->\n", table->service);
    char *at = strstr(page, begin);
    CHECK(at != NULL);
    at += strlen(begin);
    *ret_after = strstr(at, END);
    CHECK(*ret_after != NULL);
    return at;
}

TEST(the_page_has_the_rows)
{
    UNUSED;
    for (size_t i = 0; i < TABLES; i++) {
        char *after;
        char *rows = rows_text(tables[i]);
        char *page = read_page();
        char *there = find_rows(page, tables[i], &after);
        *after = '\0';
        CHECK_TEXT(there, rows);
        free(page);
        free(rows);
    }
}

static int write_rows(const struct node_table *table)
{
    char *after;
    char *rows = rows_text(table);
    char *page = read_page();
    char *there = find_rows(page, table, &after);
    FILE *file = fopen(page_path(), "w");
    fwrite(page, 1, (size_t)(there - page), file);
    fprintf(file, "%s%s", rows, after);
    free(page);
    free(rows);
    return fclose(file);
}

static int write_page(void)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < TABLES; i++)
        r = write_rows(tables[i]);
    return r;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { HOLDS(the_page_has_the_rows) };
    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return write_page();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
