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
    return listing_show(cli, VERB_WORKERS, columns, sizeof columns / sizeof *columns,
                        "no worker is connected: `gantry up` starts one, or run gantry-worker");
}
