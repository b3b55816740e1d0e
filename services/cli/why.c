#include "services/cli/listing.h"

static const struct listing_column columns[] = {
    { "STAGE", "task", LISTING_TEXT },
    { "STATE", "state", LISTING_STATE },
    { "REASON", "reason", LISTING_TEXT },
    { "", "text", LISTING_TEXT },
};

int cli_why(struct cli *cli)
{
    const struct m_ref ref = { .id = slice_of(cli->argv[0]),
                               .task = slice_of(cli->argc > 1 ? cli->argv[1] : NULL) };
    json_t *rows = NULL;
    int code = listing_ask(cli, VERB_WHY, &m_ref_layout, &ref, &rows);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, rows);
    else
        code = listing_print_table(cli, rows, columns, sizeof columns / sizeof *columns);
    json_decref(rows);
    return code;
}
