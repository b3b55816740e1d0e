#include "services/cli/listing.h"

#include "proto/schema.h"

#include <string.h>

static const struct listing_column columns[] = {
    { "RESOURCE", "resource", LISTING_TEXT },
    { "STATUS", "status", LISTING_STATE },
    { "MESSAGE", "message", LISTING_TEXT },
};

int cli_delete(struct cli *cli)
{
    const struct m_forget said = { .id = slice_of(cli->argv[0]), .force = cli->options.force };
    json_t *answer = NULL;
    int code = listing_ask(cli, VERB_FORGET, &m_forget_layout, &said, &answer);
    if (code)
        return code;
    const char *status = json_string_value(json_object_get(answer, "status"));
    if (cli->options.json)
        code = listing_print_value(cli, answer);
    else
        code = listing_print_table(cli, json_object_get(answer, "results"), columns,
                                   sizeof columns / sizeof *columns);
    if (code == CLI_DONE && (!status || strcmp(status, "success") != 0))
        code = cli_say(cli, CLI_FAILED, "not all of %s is gone; say it again later", cli->argv[0]);
    json_decref(answer);
    return code;
}
