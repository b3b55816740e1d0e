#include "services/cli/listing.h"

#include "common/scoped.h"
#include "services/cli/said.h"

#include <errno.h>
#include <string.h>

int listing_ask_on(const struct cli *cli, gantry_client_t *client, uint32_t verb,
                   const struct message_layout *layout, const void *m, json_t **ret_value)
{
    void *answer = NULL;
    size_t size = 0;
    scoped_in(said) said = said_of(layout, m);
    int r = gantry_call(client, verb, "", said_bytes(&said), cli_timeout_ms(cli), &answer, &size);
    int code = 0;
    if (r) {
        code = cli_refused(cli, client, r);
    } else {
        r = json_from_packed(slice_make(answer, size), ret_value);
        if (r)
            code = cli_say(cli, CLI_AWAY, "the answer cannot be read: %s", gantry_status_text(r));
    }
    free(answer);
    return code;
}

int listing_ask(struct cli *cli, uint32_t verb, const struct message_layout *layout, const void *m,
                json_t **ret_value)
{
    scoped(gantry_client) client = NULL;
    int code = cli_connect(cli, &client);
    return code ? code : listing_ask_on(cli, client, verb, layout, m, ret_value);
}

int listing_print_value(const struct cli *cli, const json_t *value)
{
    if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)))
        return cli_say(cli, CLI_AWAY, "standard output: %s", strerror(errno));
    putchar('\n');
    return CLI_DONE;
}

int listing_print_json(const struct cli *cli, struct slice packed)
{
    json_t *value = NULL;
    int r = json_from_packed(packed, &value);
    if (r)
        return cli_say(cli, CLI_AWAY, "the answer cannot be read: %s", gantry_status_text(r));
    int code = listing_print_value(cli, value);
    json_decref(value);
    return code;
}

static void bytes_text(double bytes, char text[LISTING_TEXT_MAX])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(text, LISTING_TEXT_MAX, "%.*f %s", unit && bytes < 100 ? 1 : 0, bytes,
                   units[unit]);
}

static bool all_text(const json_t *list)
{
    size_t index;
    const json_t *item;
    json_array_foreach (list, index, item) {
        if (!json_is_string(item))
            return false;
    }
    return json_is_array(list);
}

/* "ffmpeg,system" */
static void join_text(const json_t *list, char text[LISTING_TEXT_MAX])
{
    size_t index;
    size_t used = 0;
    const json_t *item;
    json_array_foreach (list, index, item) {
        int length = snprintf(text + used, LISTING_TEXT_MAX - used, "%s%s", index ? "," : "",
                              json_string_value(item));
        if (length < 0 || (size_t)length >= LISTING_TEXT_MAX - used)
            return;
        used += (size_t)length;
    }
}

static void line_text(const json_t *value, char text[LISTING_TEXT_MAX])
{
    if (all_text(value)) {
        join_text(value, text);
        return;
    }
    scoped_text char *line = json_line(value);
    (void)snprintf(text, LISTING_TEXT_MAX, "%s", line ? line : "?");
}

const char *listing_text(const json_t *value, enum listing_as as, char text[LISTING_TEXT_MAX])
{
    text[0] = '\0';
    if (!value || json_is_null(value))
        return text;
    uint64_t whole = json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
    if (as == LISTING_BYTES && json_is_number(value))
        bytes_text(json_number_value(value), text);
    else if (as == LISTING_SPAN && json_is_integer(value))
        (void)terminal_span(whole, text);
    else if (as == LISTING_TIME && json_is_integer(value))
        (void)terminal_time(whole, text);
    else
        line_text(value, text);
    return text;
}

static bool at_right(enum listing_as as)
{
    return as == LISTING_NUMBER || as == LISTING_BYTES || as == LISTING_SPAN;
}

static void add_row(table_t *table, const json_t *row, const struct listing_column *columns,
                    size_t count)
{
    char text[LISTING_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        (void)listing_text(json_object_get(row, columns[i].key), columns[i].as, text);
        table_add_colour(table, text,
                         columns[i].as == LISTING_STATE ? terminal_state_colour(text)
                                                        : COLOUR_NONE);
    }
}

int listing_print_table(const struct cli *cli, const json_t *rows,
                        const struct listing_column *columns, size_t count)
{
    struct table_column heads[LISTING_COLUMNS_MAX];
    size_t index;
    const json_t *row;
    for (size_t i = 0; i < count; i++)
        heads[i] = (struct table_column){ columns[i].title, at_right(columns[i].as) };
    scoped(table) table = table_new(heads, count);
    if (!table)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    json_array_foreach (rows, index, row) {
        add_row(table, row, columns, count);
    }
    int r = table_print(table, stdout, cli->colour);
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : CLI_DONE;
}

int listing_show(struct cli *cli, uint32_t verb, const struct listing_column *columns, size_t count,
                 const char *nothing)
{
    json_t *rows = NULL;
    int code = listing_ask(cli, verb, NULL, NULL, &rows);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, rows);
    else
        code = listing_print_table(cli, rows, columns, count);
    if (code == 0 && nothing && !cli->options.json && json_array_size(rows) == 0)
        fprintf(stderr, "%s\n", nothing);
    json_decref(rows);
    return code;
}
