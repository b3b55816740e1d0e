#include "services/cli/bulk.h"

#include "common/scoped.h"
#include "services/cli/record.h"
#include "services/cli/said.h"

#include <errno.h>
#include <string.h>

static bool filtered(const struct options *options)
{
    return options->all || options->state || options->service || options->task ||
           options->since_ms >= 0 || options->until_ms >= 0;
}

enum { OPEN_MAX = 64 };

struct work {
    const struct bulk *bulk;
    size_t open, done, gone;
    int status; /* the first that ends it all */
};

/* Moved on meanwhile is nobody's fault. */
static void on_acted(void *arg, int status, struct gantry_bytes body)
{
    struct work *work = arg;
    (void)body;
    work->open--;
    if (status == GANTRY_CONFLICT || status == GANTRY_NOT_FOUND)
        work->gone++;
    else if (status && !work->status)
        work->status = status;
    else if (status == 0)
        work->done++;
}

static int begin(const struct cli *cli, gantry_client_t *client, struct work *work,
                 const json_t *item)
{
    const struct m_ref ref = { .id = slice_of(json_string_value(json_object_get(item, "id"))),
                               .task = slice_of(json_string_value(json_object_get(item, "task"))) };
    scoped_in(said) said = said_of(&m_ref_layout, &ref);
    int r = gantry_call_begin(client, work->bulk->verb, "", said_bytes(&said), cli_timeout_ms(cli),
                              on_acted, work);
    work->open += r == 0;
    return r;
}

static int act(const struct cli *cli, gantry_client_t *client, const json_t *items,
               struct work *work)
{
    int r = 0;
    size_t count = json_array_size(items);
    for (size_t next = 0; r == 0 && (next < count || work->open);) {
        if (next < count && work->open < OPEN_MAX && !work->status)
            r = begin(cli, client, work, json_array_get(items, next++));
        else if (work->open)
            r = gantry_client_turn(client, cli_timeout_ms(cli));
        else
            break; /* refused, and all others have ended */
    }
    if (r == 0)
        r = work->status;
    return r ? cli_refused(cli, client, r) : CLI_DONE;
}

static int find(const struct cli *cli, gantry_client_t *client, const struct bulk *bulk,
                json_t *items)
{
    const char *only = cli->options.state;
    int64_t limit = cli->options.items >= 0 ? cli->options.items : INT64_MAX;
    int code = 0;
    bool known = false;
    for (const char *const *state = bulk->states; *state && code == 0; state++) {
        if (only && strcmp(only, *state) != 0)
            continue;
        known = true;
        code = pages_read(cli, client, *state, limit, items);
    }
    return known ? code
                 : cli_say(cli, CLI_USAGE, "stages that are %s cannot be %s", only, bulk->done);
}

static int run(const struct cli *cli, gantry_client_t *client, const struct bulk *bulk,
               json_t *items)
{
    static struct work work; /* calls that are given up here end with the client, after us */
    int code = find(cli, client, bulk, items);
    if (code)
        return code;
    if (cli->options.dry_run) {
        code = pages_print(cli, items);
        if (code == 0 && !cli->options.json)
            fprintf(stderr, "%zu stages would be %s\n", json_array_size(items), bulk->done);
        return code;
    }
    work = (struct work){ .bulk = bulk };
    code = act(cli, client, items, &work);
    if (cli->options.json)
        printf("{\"%s\": %zu, \"moved_on\": %zu}\n", bulk->done, work.done, work.gone);
    else
        printf("%zu stages %s%s\n", work.done, bulk->done,
               work.gone ? "; others had moved on meanwhile" : "");
    return code;
}

int bulk_run(struct cli *cli, const struct bulk *bulk)
{
    scoped(gantry_client) client = NULL;
    if (!filtered(&cli->options))
        return cli_say(cli, CLI_USAGE,
                       "name a task, or say which ones: --service, --task, --since, --until%s, or "
                       "--all (and --dry-run to see them first)",
                       bulk->states[1] ? ", --state" : "");
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
    if (filtered(&cli->options) || cli->options.items >= 0 || cli->options.dry_run)
        return cli_say(cli, CLI_USAGE,
                       "%s is one task: filters, --limit and --dry-run are for many", id);
    int code = cli_connect(cli, &client);
    if (code)
        return code;
    const struct m_ref ref = { .id = slice_of(id), .task = slice_of(stage) };
    scoped_in(said) said = said_of(&m_ref_layout, &ref);
    int r = gantry_call(client, bulk->verb, "", said_bytes(&said), cli_timeout_ms(cli), NULL, NULL);
    if (r == 0)
        r = gantry_get(client, id, cli_timeout_ms(cli), &record);
    return r ? cli_refused(cli, client, r) : record_print(cli, client, record);
}
