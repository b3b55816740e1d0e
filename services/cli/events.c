#include "services/cli/events.h"

#include "common/scoped.h"
#include "services/cli/said.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { ITEMS = 20, KEPT = 65535, PAGE = 1000, FOLLOW_MS = 20000, AT_ONCE_MS = 1 };

int events_ask(const struct cli *cli, gantry_client_t *client, uint64_t since, const char *id,
               int64_t wait_ms, json_t **ret_updates)
{
    const struct m_subscribe m = { .since = since,
                                   .id = slice_of(id),
                                   .service = slice_of(cli->options.service),
                                   .limit = PAGE,
                                   .timeout_ms = (uint32_t)wait_ms };
    void *answer = NULL;
    size_t size = 0;
    scoped_in(said) said = said_of(&m_subscribe_layout, &m);
    int r = gantry_call(client, VERB_SUBSCRIBE, "", said_bytes(&said),
                        wait_ms + cli_timeout_ms(cli), &answer, &size);
    int code = r ? cli_refused(cli, client, r) : 0;
    if (code == 0 && json_from_packed(slice_make(answer, size), ret_updates))
        code = cli_say(cli, CLI_AWAY, "the answer cannot be read");
    free(answer);
    return code;
}

uint64_t events_seq(const json_t *updates)
{
    return (uint64_t)json_integer_value(json_object_get(updates, "seq"));
}

static void print_line(const struct cli *cli, const json_t *item)
{
    char at[SPAN_TEXT];
    const char *state = json_string_value(json_object_get(item, "state"));
    const char *id = json_string_value(json_object_get(item, "id"));
    const char *task = json_string_value(json_object_get(item, "task"));
    if (!state || !id || !task)
        return;
    enum terminal_colour colour = terminal_state_colour(state);
    printf("%8lld  %s  %s%-11s%s  ", (long long)json_integer_value(json_object_get(item, "seq")),
           terminal_time((uint64_t)json_integer_value(json_object_get(item, "at_ms")), at),
           terminal_colour(colour, cli->colour), state, terminal_plain(colour, cli->colour));
    terminal_put(stdout, id);
    putchar(' ');
    terminal_put(stdout, task);
    putchar('\n');
}

int events_print(const struct cli *cli, const json_t *updates)
{
    size_t index;
    const json_t *item;
    if (json_is_true(json_object_get(updates, "reset")))
        fprintf(stderr, "what came before number %llu is no longer kept\n",
                (unsigned long long)events_seq(updates));
    json_array_foreach (json_object_get(updates, "items"), index, item) {
        if (!cli->options.json)
            print_line(cli, item);
        else if (json_dumpf(item, stdout, JSON_COMPACT) || putchar('\n') == EOF)
            return cli_say(cli, CLI_AWAY, "standard output: %s", strerror(errno));
    }
    if (fflush(stdout))
        return cli_say(cli, CLI_AWAY, "standard output: %s", strerror(errno));
    return CLI_DONE;
}

/* The number after which the last few begin; of one task: after which they are kept. */
static int find_start(const struct cli *cli, gantry_client_t *client, uint64_t *ret_since)
{
    json_t *now = NULL;
    uint64_t items = cli->options.items >= 0 ? (uint64_t)cli->options.items
                     : cli->argc             ? KEPT
                                             : ITEMS;
    int code = events_ask(cli, client, 0, NULL, AT_ONCE_MS, &now);
    uint64_t seq = events_seq(now);
    json_decref(now);
    *ret_since = seq > items ? seq - items : seq > 0;
    return code;
}

static int follow(const struct cli *cli, gantry_client_t *client, uint64_t since)
{
    int64_t wait_ms = cli->options.follow ? FOLLOW_MS : AT_ONCE_MS;
    int code = 0;
    bool more = since > 0 || cli->options.follow;
    while (code == 0 && more) {
        json_t *updates = NULL;
        if (since == 0) /* nothing ever happened: answered at once */
            (void)sleep(1);
        code = events_ask(cli, client, since, cli->argc ? cli->argv[0] : NULL, wait_ms, &updates);
        if (code == 0)
            code = events_print(cli, updates);
        more = cli->options.follow || events_seq(updates) > since;
        since = events_seq(updates);
        json_decref(updates);
    }
    return code;
}

int cli_events(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    uint64_t since = cli->options.after >= 0 ? (uint64_t)cli->options.after : 0;
    if (since && cli->options.items >= 0)
        return cli_say(cli, CLI_USAGE,
                       "--after and --limit both say where to begin: give one of them");
    int code = cli_connect(cli, &client);
    if (code == 0 && since == 0)
        code = find_start(cli, client, &since);
    return code ? code : follow(cli, client, since);
}
