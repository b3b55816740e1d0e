/* Schedules: a task that is handed in again and again. */
#include "common/scoped.h"
#include "services/cli/input.h"
#include "services/cli/listing.h"

#include <string.h>

static const struct listing_column columns[] = {
    { "NAME", "name", LISTING_TEXT },    { "SCHEDULE", "schedule", LISTING_TEXT },
    { "ZONE", "zone", LISTING_TEXT },    { "TASK", "task", LISTING_TEXT },
    { "NEXT", "next_ms", LISTING_TIME }, { "LAST", "last_ms", LISTING_TIME },
};

static int ask(const struct cli *cli, gantry_client_t *client, const struct m_cron *said)
{
    json_t *rows = NULL;
    int code = listing_ask_on(cli, client, VERB_CRON, &m_cron_layout, said, &rows);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, rows);
    else if (slice_is(said->action, "remove"))
        printf("%s is removed: what it handed in goes on\n", cli->argv[1]);
    else
        code = listing_print_table(cli, rows, columns, sizeof columns / sizeof *columns);
    json_decref(rows);
    return code;
}

static int set(const struct cli *cli, gantry_client_t *client)
{
    const struct options *options = &cli->options;
    int code = input_check(cli);
    if (code)
        return code;
    if (cli->argc < 4)
        return cli_say(cli, CLI_USAGE,
                       "expected `gantry cron set NAME \"MINUTE HOUR DAY MONTH WEEKDAY\" TASK "
                       "[KEY=VALUE...]`");
    msgpack_sbuffer input;
    msgpack_sbuffer_init(&input);
    code = input_pack(cli, client, cli->argv[3], cli->argv + 4, cli->argc - 4, &input);
    const struct m_cron said = {
        .action = SLICE("set"),
        .name = slice_of(cli->argv[1]),
        .schedule = slice_of(cli->argv[2]),
        .zone = slice_of(options->zone),
        .task = slice_of(cli->argv[3]),
        .input = slice_make(input.data, input.size),
        .priority = slice_of(options->priority),
        .timeout_ms = options->attempt_ms > 0 ? (uint32_t)options->attempt_ms : 0,
    };
    if (code == 0)
        code = ask(cli, client, &said);
    msgpack_sbuffer_destroy(&input);
    return code;
}

static int rm(const struct cli *cli, gantry_client_t *client)
{
    const struct m_cron said = { .action = SLICE("remove"),
                                 .name = slice_of(cli->argc > 1 ? cli->argv[1] : NULL) };
    if (cli->argc != 2)
        return cli_say(cli, CLI_USAGE, "expected `gantry cron rm NAME`");
    return ask(cli, client, &said);
}

int cli_cron(struct cli *cli)
{
    const struct m_cron all = { .action = SLICE("list") };
    const char *what = cli->argc ? cli->argv[0] : "ls";
    scoped(gantry_client) client = NULL;
    if (strcmp(what, "ls") != 0 && strcmp(what, "set") != 0 && strcmp(what, "rm") != 0)
        return cli_say(cli, CLI_USAGE, "cron takes ls, set or rm, not %s", what);
    if (strcmp(what, "ls") == 0 && cli->argc > 1)
        return cli_say(cli, CLI_USAGE, "expected `gantry cron ls`");
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    if (strcmp(what, "set") == 0)
        return set(cli, client);
    return strcmp(what, "rm") == 0 ? rm(cli, client) : ask(cli, client, &all);
}
