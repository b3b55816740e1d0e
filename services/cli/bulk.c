#include "services/cli/bulk.h"

#include "common/scoped.h"
#include "proto/message.h"
#include "services/cli/record.h"

#include <errno.h>
#include <string.h>

static int call(const struct cli *cli, gantry_client_t *client, uint32_t verb, const char *id,
                const char *stage)
{
    const struct m_ref ref = { .id = slice_of(id), .task = slice_of(stage) };
    msgpack_sbuffer body;
    msgpack_packer pk;
    msgpack_sbuffer_init(&body);
    msgpack_packer_init(&pk, &body, msgpack_sbuffer_write);
    message_encode(&m_ref_layout, &ref, &pk);
    const struct gantry_bytes bytes = { body.data, body.size };
    int r = gantry_call(client, verb, "", bytes, cli_timeout_ms(cli), NULL, NULL);
    msgpack_sbuffer_destroy(&body);
    return r;
}

static bool filtered(const struct options *options)
{
    return options->all || options->state || options->service || options->task ||
           options->since_ms >= 0 || options->until_ms >= 0;
}

struct count {
    size_t done, gone;
};

/* Moved on meanwhile is nobody's fault. */
static int act(const struct cli *cli, gantry_client_t *client, const struct bulk *bulk,
               const json_t *items, struct count *count)
{
    size_t index;
    const json_t *item;
    json_array_foreach (items, index, item) {
        const char *id = json_string_value(json_object_get(item, "id"));
        const char *task = json_string_value(json_object_get(item, "task"));
        int r = call(cli, client, bulk->verb, id ? id : "", task ? task : "");
        if (r == GANTRY_CONFLICT || r == GANTRY_NOT_FOUND)
            count->gone++;
        else if (r)
            return cli_refused(cli, client, r);
        else
            count->done++;
    }
    return CLI_DONE;
}

static int run(const struct cli *cli, gantry_client_t *client, const struct bulk *bulk,
               json_t *items)
{
    struct count count = { 0 };
    int64_t limit = cli->options.items >= 0 ? cli->options.items : INT64_MAX;
    int code = pages_read(cli, client, bulk->state, limit, items);
    if (code)
        return code;
    if (cli->options.dry_run) {
        code = pages_print(cli, items);
        if (code == 0 && !cli->options.json)
            fprintf(stderr, "%zu stages would be %s\n", json_array_size(items), bulk->done);
        return code;
    }
    code = act(cli, client, bulk, items, &count);
    if (cli->options.json)
        printf("{\"%s\": %zu, \"moved_on\": %zu}\n", bulk->done, count.done, count.gone);
    else
        printf("%zu stages %s%s\n", count.done, bulk->done,
               count.gone ? "; others had moved on meanwhile" : "");
    return code;
}

int bulk_run(struct cli *cli, const struct bulk *bulk)
{
    scoped(gantry_client) client = NULL;
    if (!filtered(&cli->options))
        return cli_say(cli, CLI_USAGE,
                       "name a task, or say which ones: --service, --task, --since, --until%s, or "
                       "--all (and --dry-run to see them first)",
                       bulk->state ? "" : ", --state");
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    json_t *items = json_array();
    if (!items)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    code = run(cli, client, bulk, items);
    json_decref(items);
    return code;
}

int bulk_one(struct cli *cli, const struct bulk *bulk, const char *id, const char *stage)
{
    scoped(gantry_client) client = NULL;
    scoped(gantry_record) record = NULL;
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    if (cli->options.dry_run)
        return cli_say(cli, CLI_USAGE, "--dry-run is for filters: `gantry show %s` shows it", id);
    int r = call(cli, client, bulk->verb, id, stage);
    if (r == 0)
        r = gantry_get(client, id, cli_timeout_ms(cli), &record);
    return r ? cli_refused(cli, client, r) : record_print(cli, record);
}
