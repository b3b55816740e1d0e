/* The ledger, and the audit that keeps it true. */
#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/listing.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { AUDIT_LOOK_NS = 100000000 };

static const struct listing_column rows[] = {
    { "accepted", "accepted", LISTING_NUMBER },
    { "  completed", "completed", LISTING_NUMBER },
    { "  skipped", "skipped", LISTING_NUMBER },
    { "  failed", "failed", LISTING_NUMBER },
    { "  quarantined", "quarantined", LISTING_NUMBER },
    { "  cancelled", "cancelled", LISTING_NUMBER },
    { "  scheduled", "scheduled", LISTING_NUMBER },
    { "  pending", "pending", LISTING_NUMBER },
    { "  running", "running", LISTING_NUMBER },
    { "dead letters", "dead", LISTING_NUMBER },
    { "retries", "retries", LISTING_NUMBER },
    { "leases lost", "crashes", LISTING_NUMBER },
    { "put back", "requeues", LISTING_NUMBER },
    { "newest update", "seq", LISTING_NUMBER },
    { "audits", "audits", LISTING_NUMBER },
    { "last audit", "audited_ms", LISTING_TIME },
    { "stages it saw", "audited", LISTING_NUMBER },
    { "ever repaired", "repaired", LISTING_NUMBER },
};

static int print(const struct cli *cli, const json_t *ledger)
{
    static const struct table_column columns[] = { { NULL, false }, { NULL, true } };
    bool balanced = json_is_true(json_object_get(ledger, "balanced"));
    char text[LISTING_TEXT_MAX];
    scoped(table) table = table_new(columns, 2);
    if (!table)
        return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        table_add(table, rows[i].title);
        table_add(table, listing_text(json_object_get(ledger, rows[i].key), rows[i].as, text));
    }
    table_add(table, "balanced");
    table_add_colour(table, balanced ? "yes" : "no", balanced ? COLOUR_GOOD : COLOUR_BAD);
    int r = table_print(table, stdout, cli->colour);
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : CLI_DONE;
}

static int show(const struct cli *cli, const json_t *ledger)
{
    int code = cli->options.json ? listing_print_value(cli, ledger) : print(cli, ledger);
    if (code || json_is_true(json_object_get(ledger, "balanced")))
        return code;
    fputs("the ledger is not balanced: `gantry audit` looks for what is held by none or by two\n",
          stderr);
    return CLI_FAILED;
}

int cli_ledger(struct cli *cli)
{
    json_t *ledger = NULL;
    int code = listing_ask(cli, VERB_LEDGER, NULL, NULL, &ledger);
    if (code)
        return code;
    code = show(cli, ledger);
    json_decref(ledger);
    return code;
}

static json_int_t figure(const json_t *ledger, const char *name)
{
    return json_integer_value(json_object_get(ledger, name));
}

static int ask_audit(const struct cli *cli, gantry_client_t *client)
{
    const struct m_steer said = { .action = SLICE("audit") };
    json_t *answer = NULL;
    int code = listing_ask_on(cli, client, VERB_STEER, &m_steer_layout, &said, &answer);
    json_decref(answer);
    return code;
}

/* Asks for the ledger until a pass has ended that began after ours was asked for. */
static int await_audit(const struct cli *cli, gantry_client_t *client, json_t **ledger_p)
{
    int64_t timeout_ms = cli->options.timeout_ms > 0 ? cli->options.timeout_ms : INT64_MAX / 2;
    int64_t until_ms = clock_ms() + timeout_ms;
    json_int_t before = figure(*ledger_p, "audits");
    int code = 0;
    while (code == 0 && figure(*ledger_p, "audits") <= before) {
        if (clock_ms() > until_ms)
            return cli_say(cli, CLI_AWAY, "the audit goes on: `gantry ledger` shows when it ended");
        (void)nanosleep(&(struct timespec){ .tv_nsec = AUDIT_LOOK_NS }, NULL);
        json_decref(*ledger_p);
        *ledger_p = NULL;
        code = listing_ask_on(cli, client, VERB_LEDGER, NULL, NULL, ledger_p);
    }
    return code;
}

static int report(const struct cli *cli, const json_t *ledger, json_int_t repaired)
{
    json_int_t now = figure(ledger, "repaired") - repaired;
    if (cli->options.json)
        return listing_print_value(cli, ledger);
    printf("%lld stages looked at, %lld repaired\n", (long long)figure(ledger, "audited"),
           (long long)now);
    return CLI_DONE;
}

int cli_audit(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    json_t *ledger = NULL;
    int code = cli_connect(cli, &client);
    if (code == 0)
        code = listing_ask_on(cli, client, VERB_LEDGER, NULL, NULL, &ledger);
    json_int_t repaired = figure(ledger, "repaired");
    if (code == 0)
        code = ask_audit(cli, client);
    if (code == 0)
        code = await_audit(cli, client, &ledger);
    if (code == 0)
        code = report(cli, ledger, repaired);
    json_decref(ledger);
    return code;
}
