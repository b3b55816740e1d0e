#include "common/scoped.h"
#include "proto/schema.h"
#include "services/cli/catalogue.h"
#include "services/cli/listing.h"

#include <errno.h>
#include <string.h>

static const struct table_column input_columns[] = {
    { "  INPUT", false },
    { "TYPE", false },
    { "DEFAULT", false },
    { "", false },
};
enum { INPUT_COLUMNS = sizeof input_columns / sizeof *input_columns };

static void add_input(table_t *table, const json_t *input)
{
    char text[LISTING_TEXT_MAX];
    const json_t *fallback = json_object_get(input, "fallback");
    const char *upstream = json_string_value(json_object_get(input, "upstream"));
    table_addf(table, "  %s", listing_text(json_object_get(input, "name"), LISTING_TEXT, text));
    table_add(table, listing_text(json_object_get(input, "type"), LISTING_TEXT, text));
    if (json_is_true(json_object_get(input, "required")))
        table_add_colour(table, "required", COLOUR_STRONG);
    else if (upstream && *upstream)
        table_addf(table, "of %s", upstream);
    else
        table_add(table, listing_text(fallback, LISTING_TEXT, text));
    table_add(table, listing_text(json_object_get(input, "doc"), LISTING_TEXT, text));
}

static int print_inputs(const struct cli *cli, const json_t *inputs)
{
    size_t index;
    const json_t *input;
    if (json_array_size(inputs) == 0)
        return 0;
    scoped(table) table = table_new(input_columns, INPUT_COLUMNS);
    if (!table)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    json_array_foreach (inputs, index, input) {
        add_input(table, input);
    }
    int r = table_print(table, stdout, cli->colour);
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : 0;
}

/* key: the names that an output goes by, "segments|speaker_segments_file". */
static bool is_name_of(const char *key, const char *name)
{
    struct slice rest = slice_of(key);
    while (rest.size)
        if (slice_is(slice_until(rest, '|', &rest), name))
            return true;
    return false;
}

static bool among(const json_t *names, const char *name)
{
    size_t index;
    const json_t *item;
    json_array_foreach (names, index, item) {
        if (json_is_string(item) && is_name_of(json_string_value(item), name))
            return true;
    }
    return false;
}

static void print_outputs(const json_t *node)
{
    const json_t *outputs = json_object_get(node, "outputs");
    const json_t *keys = json_object_get(node, "key");
    size_t index;
    const json_t *output;
    if (json_array_size(outputs) == 0)
        return;
    fputs("  outputs: ", stdout);
    json_array_foreach (outputs, index, output) {
        const char *name = json_string_value(output);
        fputs(index ? ", " : "", stdout);
        terminal_put(stdout, name ? name : "?");
        fputs(name && among(keys, name) ? "*" : "", stdout);
    }
    putchar('\n');
}

static int print_node(const struct cli *cli, const json_t *node)
{
    char text[LISTING_TEXT_MAX];
    fputs(terminal_colour(COLOUR_STRONG, cli->colour), stdout);
    terminal_put(stdout, listing_text(json_object_get(node, "name"), LISTING_TEXT, text));
    fputs(terminal_plain(COLOUR_STRONG, cli->colour), stdout);
    fputs("  ", stdout);
    terminal_put(stdout, listing_text(json_object_get(node, "doc"), LISTING_TEXT, text));
    if (json_is_false(json_object_get(node, "available")))
        printf("  %s[no worker]%s", terminal_colour(COLOUR_BAD, cli->colour),
               terminal_plain(COLOUR_BAD, cli->colour));
    putchar('\n');
    int code = print_inputs(cli, json_object_get(node, "inputs"));
    print_outputs(node);
    return code;
}

static int print_all(const struct cli *cli, const json_t *nodes)
{
    size_t index;
    const json_t *node;
    int code = 0;
    json_array_foreach (nodes, index, node) {
        if (index)
            putchar('\n');
        code = print_node(cli, node);
        if (code)
            return code;
    }
    if (json_array_size(nodes) == 0)
        return cli_say(cli, CLI_DONE,
                       "no worker has ever registered a node here: `gantry up` starts one");
    puts("\n* is there whenever the stage completed; `of a, b`: when not given, that output of an "
         "earlier stage, the first there is\n[no worker]: accepted, and waits for one");
    return code;
}

int cli_nodes(struct cli *cli)
{
    json_t *nodes = NULL;
    const char *name = cli->argc ? cli->argv[0] : NULL;
    int code = listing_ask(cli, VERB_NODES, NULL, NULL, &nodes);
    if (code)
        return code;
    catalogue_sort(nodes);
    const json_t *one = name ? catalogue_node(nodes, name) : nodes;
    if (!one)
        code = cli_say(cli, CLI_REFUSED, "no node is named %s; `gantry nodes` lists them", name);
    else if (cli->options.json)
        code = listing_print_value(cli, one);
    else
        code = name ? print_node(cli, one) : print_all(cli, nodes);
    json_decref(nodes);
    return code;
}
