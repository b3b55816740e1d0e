#include "proto/schema.h"
#include "services/cli/listing.h"

static const struct listing_column columns[] = {
    { "SERVICE", "service", LISTING_TEXT },   { "HIGH", "high", LISTING_NUMBER },
    { "NORMAL", "normal", LISTING_NUMBER },   { "LOW", "low", LISTING_NUMBER },
    { "RUNNING", "running", LISTING_NUMBER },
};

int cli_queues(struct cli *cli)
{
    return listing_show(cli, VERB_QUEUES, columns, sizeof columns / sizeof *columns, NULL);
}
