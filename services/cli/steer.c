/* An operator's words: pause, resume, drain, undrain. */
#include "services/cli/listing.h"
#include "services/cli/operator.h"

#include <string.h>

static int steer(struct cli *cli, const struct m_steer *said, const char *now, const char *before)
{
    json_t *answer = NULL;
    int code = listing_ask(cli, VERB_STEER, &m_steer_layout, said, &answer);
    if (code)
        return code;
    if (cli->options.json)
        code = listing_print_value(cli, answer);
    else
        printf("%s %s\n", cli->argv[0],
               json_is_true(json_object_get(answer, "changed")) ? now : before);
    json_decref(answer);
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
