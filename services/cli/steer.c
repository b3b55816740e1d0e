/* An operator's words: pause, resume, drain, undrain. */
#include "common/scoped.h"
#include "services/cli/listing.h"
#include "services/cli/operator.h"

#include <string.h>

/* A name may be drained before its worker comes; a misspelt one looks the same. */
static void look_for(const struct cli *cli, gantry_client_t *client, const char *worker)
{
    json_t *rows = NULL;
    bool found = false;
    if (listing_ask_on(cli, client, VERB_WORKERS, NULL, NULL, &rows))
        return;
    for (size_t i = 0; i < json_array_size(rows) && !found; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(rows, i), "name"));
        found = name && strcmp(name, worker) == 0;
    }
    json_decref(rows);
    if (!found)
        (void)cli_say(cli, CLI_DONE,
                      "note: no worker %s is connected to this broker; `gantry workers` lists "
                      "those that are",
                      worker);
}

static int steer(struct cli *cli, const struct m_steer *said, const char *now, const char *before)
{
    scoped(gantry_client) client = NULL;
    json_t *answer = NULL;
    int code = cli_connect(cli, &client);
    if (!code)
        code = listing_ask_on(cli, client, VERB_STEER, &m_steer_layout, said, &answer);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, answer);
    else
        printf("%s %s\n", cli->argv[0],
               json_is_true(json_object_get(answer, "changed")) ? now : before);
    json_decref(answer);
    if (slice_is(said->action, "drain"))
        look_for(cli, client, cli->argv[0]);
    return code;
}

int cli_pause(struct cli *cli)
{
    const struct m_steer said = { .action = SLICE("pause"), .service = slice_of(cli->argv[0]) };
    return steer(cli, &said, "is paused: what runs goes on, nothing more is handed out",
                 "was paused before");
}

int cli_resume(struct cli *cli)
{
    const struct m_steer said = { .action = SLICE("resume"), .service = slice_of(cli->argv[0]) };
    return steer(cli, &said, "goes on", "was not paused");
}

static int drain_broker(struct cli *cli, bool on)
{
    const struct m_drain said = { .on = on };
    int code = operator_ask(cli, VERB_DRAIN, &m_drain_layout, &said);
    if (code == 0 && cli->options.json)
        printf("{\"draining\": %s}\n", on ? "true" : "false");
    else if (code == 0)
        printf("the broker at %s %s\n", cli->options.status,
               on ? "drains: its clients and workers go to the others of their lists"
                  : "takes clients and workers again");
    return code;
}

static int drain(struct cli *cli, bool on, const char *now, const char *before)
{
    const char *status = cli->options.status;
    if ((cli->argc == 1) == (status != NULL))
        return cli_say(cli, CLI_USAGE,
                       "name a worker of `gantry workers`, or with --status a broker's status "
                       "endpoint");
    if (status)
        return drain_broker(cli, on);
    const struct m_steer said = { .action = on ? SLICE("drain") : SLICE("undrain"),
                                  .worker = slice_of(cli->argv[0]) };
    return steer(cli, &said, now, before);
}

int cli_drain(struct cli *cli)
{
    return drain(cli, true, "drains: what runs goes on, it claims nothing more",
                 "was draining before");
}

int cli_undrain(struct cli *cli)
{
    return drain(cli, false, "claims again", "was not draining");
}
