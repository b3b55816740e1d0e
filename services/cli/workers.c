#include "proto/schema.h"
#include "services/cli/listing.h"

static const struct listing_column columns[] = {
    { "NAME", "name", LISTING_TEXT },         { "HOST", "host", LISTING_TEXT },
    { "PID", "pid", LISTING_NUMBER },         { "SLOTS", "slots", LISTING_NUMBER },
    { "PARKED", "parked", LISTING_NUMBER },   { "CONNECTED", "connected_ms", LISTING_SPAN },
    { "SILENT", "silent_ms", LISTING_SPAN },  { "SOFTWARE", "software", LISTING_TEXT },
    { "SERVICES", "services", LISTING_TEXT },
};

int cli_workers(struct cli *cli)
{
    json_t *rows = NULL;
    int code = listing_ask(cli, VERB_WORKERS, (struct slice){ 0 }, &rows);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, rows);
    else
        code = listing_print_table(cli, rows, columns, sizeof columns / sizeof *columns);
    if (code == 0 && json_array_size(rows) == 0 && !cli->options.json)
        fprintf(stderr, "no worker is connected: `gantry up` starts one, or run gantry-worker\n");
    json_decref(rows);
    return code;
}
