#include "common/scoped.h"
#include "services/cli/follow.h"
#include "services/cli/record.h"

int cli_wait(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    scoped(gantry_record) record = NULL;
    int code = cli_connect(cli, &client);
    if (code == 0)
        code = follow(cli, client, cli->argv[0], cli->argv + 1, cli->argc - 1, &record);
    if (code == 0)
        code = record_print(cli, client, record);
    return code ? code : record_exit(record, cli->argv + 1, cli->argc - 1);
}
