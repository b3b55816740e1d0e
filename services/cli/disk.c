#include "common/clock.h"
#include "common/scoped.h"
#include "proto/schema.h"
#include "services/cli/listing.h"

#include <errno.h>
#include <string.h>

enum { LIMIT_MOST = 1000, FRESH_MS = 60000 };

static const struct listing_column figures[] = {
    { "root", "root", LISTING_TEXT },
    { "free", "free_bytes", LISTING_BYTES },
    { "of", "total_bytes", LISTING_BYTES },
    { "refuses below", "low_bytes", LISTING_BYTES },
    { "until again", "high_bytes", LISTING_BYTES },
    { "refused", "refused", LISTING_TEXT },
    { "tasks' folders", "folders", LISTING_TEXT },
    { "their size", "bytes", LISTING_BYTES },
    { "trash", "trash_bytes", LISTING_BYTES },
    { "looked at", "measured_ms", LISTING_TIME },
};

static const struct listing_column task_columns[] = {
    { "TASK", "id", LISTING_TEXT },
    { "OWNER", "owner", LISTING_TEXT },
    { "SIZE", "bytes", LISTING_BYTES },
    { "FILES", "files", LISTING_NUMBER },
};

static const struct listing_column user_columns[] = {
    { "USER", "owner", LISTING_TEXT },
    { "SIZE", "bytes", LISTING_BYTES },
    { "TASKS", "tasks", LISTING_NUMBER },
};

static int print_figures(const struct cli *cli, const json_t *use)
{
    static const struct table_column columns[] = { { NULL, false }, { NULL, false } };
    const bool refusing = json_is_true(json_object_get(use, "refusing"));
    char text[LISTING_TEXT_MAX];
    scoped(table) table = table_new(columns, 2);
    if (!table)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        table_add(table, figures[i].title);
        table_add(table, listing_text(json_object_get(use, figures[i].key), figures[i].as, text));
    }
    table_add(table, "what needs space");
    table_add_colour(table, refusing ? "is refused" : "is taken",
                     refusing ? COLOUR_BAD : COLOUR_GOOD);
    int r = table_print(table, stdout, cli->colour);
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : CLI_DONE;
}

static int print_rows(const struct cli *cli, const json_t *rows,
                      const struct listing_column *columns, size_t count)
{
    if (json_array_size(rows) == 0)
        return CLI_DONE;
    putchar('\n');
    return listing_print_table(cli, rows, columns, count);
}

static int print(const struct cli *cli, const json_t *use)
{
    int code = print_figures(cli, use);
    if (code == CLI_DONE)
        code = print_rows(cli, json_object_get(use, "tasks"), task_columns,
                          sizeof task_columns / sizeof *task_columns);
    if (code == CLI_DONE)
        code = print_rows(cli, json_object_get(use, "users"), user_columns,
                          sizeof user_columns / sizeof *user_columns);
    if (code == CLI_DONE && json_is_true(json_object_get(use, "partial")))
        fprintf(stderr, "there were too many files to look at all: sizes are of a part\n");
    return code;
}

static bool is_fresh(const json_t *use)
{
    return json_integer_value(json_object_get(use, "measured_ms")) >= clock_wall_ms() - FRESH_MS;
}

/* As it was looked at within a minute, else it is looked at now. */
static int ask(const struct cli *cli, gantry_client_t *client, json_t **ret_use)
{
    const int64_t limit = cli->options.items;
    struct m_disk said = { .limit = limit > 0 ? (uint32_t)limit : 0,
                           .measure = cli->options.measure };
    int code = listing_ask_on(cli, client, VERB_DISK, &m_disk_layout, &said, ret_use);
    if (code || said.measure || is_fresh(*ret_use))
        return code;
    json_decref(*ret_use);
    *ret_use = NULL;
    said.measure = true;
    return listing_ask_on(cli, client, VERB_DISK, &m_disk_layout, &said, ret_use);
}

int cli_disk(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    json_t *use = NULL;
    if (cli->options.items > LIMIT_MOST)
        return cli_say(cli, CLI_USAGE, "--limit is at most %d", LIMIT_MOST);
    int code = cli_connect(cli, &client);
    if (code == 0)
        code = ask(cli, client, &use);
    if (code == 0)
        code = cli->options.json ? listing_print_value(cli, use) : print(cli, use);
    json_decref(use);
    return code;
}
