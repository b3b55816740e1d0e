#include "common/scoped.h"
#include "services/cli/record.h"

int cli_cancel(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    scoped(gantry_record) record = NULL;
    const char *stage = cli->argc > 1 ? cli->argv[1] : NULL;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    int r = gantry_cancel(client, cli->argv[0], stage, cli_timeout_ms(cli), &record);
    return r ? cli_refused(cli, client, r) : record_print(cli, record);
}
