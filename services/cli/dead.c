/* Dead letters: what failed for good or was quarantined, until somebody replays or purges it. */
#include "common/scoped.h"
#include "proto/schema.h"
#include "services/cli/bulk.h"
#include "services/cli/record.h"

#include <errno.h>
#include <string.h>

enum { ITEMS = 100 };

static const struct listing_column columns[] = {
    { "TASK", "id", LISTING_TEXT },       { "STAGE", "task", LISTING_TEXT },
    { "STATE", "state", LISTING_STATE },  { "SINCE", "at_ms", LISTING_TIME },
    { "TRIES", "tries", LISTING_NUMBER }, { "WHY", "why", LISTING_TEXT },
};

/* What a list does not carry: how often it was tried, and the last error. */
static void explain(const struct cli *cli, gantry_client_t *client, json_t *item)
{
    scoped(gantry_record) record = NULL;
    const char *id = json_string_value(json_object_get(item, "id"));
    const char *task = json_string_value(json_object_get(item, "task"));
    if (!id || !task || gantry_get(client, id, cli_timeout_ms(cli), &record))
        return;
    const struct gantry_stage *stage = gantry_record_find(record, task);
    if (!stage)
        return;
    (void)json_object_set_new(item, "tries", json_integer(stage->attempt));
    (void)json_object_set_new(item, "why", json_string(stage->error_message));
}

static int dead_ls(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    size_t index;
    json_t *item;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    json_t *items = json_array();
    if (!items)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    code = pages_read(cli, client, "dead", cli->options.items >= 0 ? cli->options.items : ITEMS,
                      items);
    json_array_foreach (items, index, item) {
        if (code == 0)
            explain(cli, client, item);
    }
    if (code == 0 && cli->options.json)
        code = listing_print_value(cli, items);
    else if (code == 0)
        code = listing_print_table(cli, items, columns, sizeof columns / sizeof *columns);
    json_decref(items);
    return code;
}

static int dead_many(struct cli *cli, const struct bulk *bulk)
{
    if (cli->argc == 1)
        return bulk_run(cli, bulk);
    return bulk_one(cli, bulk, cli->argv[1], cli->argc > 2 ? cli->argv[2] : NULL);
}

static int dead_show(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    scoped(gantry_record) record = NULL;
    if (cli->argc != 2)
        return cli_say(cli, CLI_USAGE, "expected `gantry dead show ID`");
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    int r = gantry_get(client, cli->argv[1], cli_timeout_ms(cli), &record);
    return r ? cli_refused(cli, client, r) : record_print(cli, client, record);
}

int cli_dead(struct cli *cli)
{
    static const char *const states[] = { "dead", NULL };
    static const struct bulk replay = { VERB_REPLAY, states, "replayed" };
    static const struct bulk purge = { VERB_PURGE, states, "purged" };
    const char *what = cli->argc ? cli->argv[0] : "ls";
    if (strcmp(what, "ls") == 0 && cli->argc > 1)
        return cli_say(cli, CLI_USAGE, "ls takes filters; `gantry dead show %s` shows one task",
                       cli->argv[1]);
    if (strcmp(what, "ls") == 0)
        return dead_ls(cli);
    if (strcmp(what, "show") == 0)
        return dead_show(cli);
    if (strcmp(what, "replay") == 0)
        return dead_many(cli, &replay);
    if (strcmp(what, "purge") == 0)
        return dead_many(cli, &purge);
    return cli_say(cli, CLI_USAGE, "dead takes ls, show, replay or purge, not %s", what);
}
