#include "common/scoped.h"
#include "proto/schema.h"
#include "services/cli/listing.h"

#include <errno.h>
#include <string.h>

/* Keys that are maps or lists have parts of their own below. */
static const struct listing_column figures[] = {
    { "broker", "software", LISTING_TEXT },
    { "process", "pid", LISTING_TEXT },
    { "epoch", "epoch", LISTING_TEXT },
    { "up for", "uptime_ms", LISTING_SPAN },
    { "draining", "draining", LISTING_TEXT },
    { "memory", "rss_bytes", LISTING_BYTES },
    { "requests in flight", "requests_in_flight", LISTING_TEXT },
    { "their bytes", "request_bytes_in_flight", LISTING_BYTES },
    { "claims parked", "claims_parked", LISTING_TEXT },
};

static const struct listing_column queue_columns[] = {
    { "QUEUE", "service", LISTING_TEXT },
    { "CLAIMS PARKED", "parked", LISTING_NUMBER },
    { "IN FLIGHT", "in_flight", LISTING_NUMBER },
    { "READY", "ready", LISTING_TEXT },
};

static void add_pair(table_t *table, const char *name, const json_t *value, enum listing_as as)
{
    char text[LISTING_TEXT_MAX];
    table_add(table, name);
    table_add(table, listing_text(value, as, text));
}

static void add_map(table_t *table, const json_t *map, const char *after)
{
    const char *key;
    json_t *value;
    union {
        const json_t *in;
        json_t *out;
    } cast = { map }; /* jansson's macro wants it mutable and only reads */
    json_object_foreach (cast.out, key, value) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s", key, after);
        add_pair(table, name, value, LISTING_TEXT);
    }
}

static int print_figures(const struct cli *cli, const json_t *status)
{
    static const struct table_column columns[] = { { NULL, false }, { NULL, false } };
    scoped(table) table = table_new(columns, 2);
    if (!table)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        add_pair(table, figures[i].title, json_object_get(status, figures[i].key), figures[i].as);
    add_map(table, json_object_get(status, "peers"), " connected");
    add_map(table, json_object_get(status, "counters"), "");
    int r = table_print(table, stdout, cli->colour);
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : CLI_DONE;
}

static int print(const struct cli *cli, const json_t *status)
{
    const json_t *queues = json_object_get(status, "queues");
    if (cli->options.json)
        return listing_print_value(cli, status);
    int code = print_figures(cli, status);
    if (code || json_array_size(queues) == 0)
        return code;
    putchar('\n');
    return listing_print_table(cli, queues, queue_columns,
                               sizeof queue_columns / sizeof *queue_columns);
}

int cli_status(struct cli *cli)
{
    json_t *status = NULL;
    int code = listing_ask(cli, VERB_STATUS, NULL, NULL, &status);
    if (code)
        return code;
    code = print(cli, status);
    json_decref(status);
    return code;
}
