#include "proto/schema.h"
#include "services/cli/listing.h"

static const struct listing_column columns[] = {
    { "SERVICE", "service", LISTING_TEXT },   { "HIGH", "high", LISTING_NUMBER },
    { "NORMAL", "normal", LISTING_NUMBER },   { "LOW", "low", LISTING_NUMBER },
    { "RUNNING", "running", LISTING_NUMBER },
};

int cli_queues(struct cli *cli)
{
    json_t *rows = NULL;
    int code = listing_ask(cli, VERB_QUEUES, (struct slice){ 0 }, &rows);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, rows);
    else
        code = listing_print_table(cli, rows, columns, sizeof columns / sizeof *columns);
    json_decref(rows);
    return code;
}
