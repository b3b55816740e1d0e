#include "common/scoped.h"
#include "services/cli/pages.h"

#include <errno.h>
#include <string.h>

enum { ITEMS = 100 };

int cli_list(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    json_t *items = json_array();
    if (!items)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    code =
        pages_read(cli, client, NULL, cli->options.items >= 0 ? cli->options.items : ITEMS, items);
    if (code == 0)
        code = pages_print(cli, items);
    json_decref(items);
    return code;
}
