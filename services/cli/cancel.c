#include "proto/schema.h"
#include "services/cli/bulk.h"

int cli_cancel(struct cli *cli)
{
    static const char *const states[] = { "scheduled", "pending", "running", NULL };
    static const struct bulk bulk = { VERB_CANCEL, states, "cancelled" };
    if (cli->argc == 0)
        return bulk_run(cli, &bulk);
    return bulk_one(cli, &bulk, cli->argv[0], cli->argc > 1 ? cli->argv[1] : NULL);
}
