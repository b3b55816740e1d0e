#include "common/scoped.h"
#include "services/cli/events.h"
#include "services/cli/record.h"

#include <string.h>

enum { FOLLOW_MS = 20000, AT_ONCE_MS = 1 };

static bool ended(const gantry_record_t *record)
{
    const char *status = gantry_record_status(record);
    return strcmp(status, "pending") != 0 && strcmp(status, "running") != 0;
}

/* Its updates as they come, until all of it has ended. */
static int follow(const struct cli *cli, gantry_client_t *client, gantry_record_t **record_p)
{
    const char *id = cli->argv[0];
    json_t *updates = NULL;
    int code = events_ask(cli, client, 0, id, AT_ONCE_MS, &updates);
    uint64_t since = events_seq(updates);
    json_decref(updates);
    while (code == 0) {
        int r = gantry_get(client, id, cli_timeout_ms(cli), record_p);
        if (r)
            return cli_refused(cli, client, r);
        if (ended(*record_p))
            return CLI_DONE;
        gantry_record_destroy(record_p);
        updates = NULL;
        code = events_ask(cli, client, since, id, FOLLOW_MS, &updates);
        if (code == 0)
            code = events_print(cli, updates);
        since = events_seq(updates);
        json_decref(updates);
    }
    return code;
}

int cli_show(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    scoped(gantry_record) record = NULL;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    if (cli->options.follow) {
        code = follow(cli, client, &record);
        return code ? code : record_print(cli, client, record);
    }
    int r = gantry_get(client, cli->argv[0], cli_timeout_ms(cli), &record);
    return r ? cli_refused(cli, client, r) : record_print(cli, client, record);
}
