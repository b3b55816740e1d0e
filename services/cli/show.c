#include "common/scoped.h"
#include "services/cli/record.h"

int cli_show(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    scoped(gantry_record) record = NULL;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    int r = gantry_get(client, cli->argv[0], cli_timeout_ms(cli), &record);
    return r ? cli_refused(cli, client, r) : record_print(cli, record);
}
