#include "common/scoped.h"
#include "proto/message.h"
#include "services/cli/follow.h"
#include "services/cli/input.h"
#include "services/cli/listing.h"
#include "services/cli/record.h"

#include <string.h>
#include <time.h>

enum { FAILURES_MAX = 1000, CRASHES_MAX = 100 };

static const char *how(const struct gantry_receipt *receipt)
{
    if (strcmp(receipt->reuse, "hit") == 0)
        return "was done before, its result is kept";
    if (strcmp(receipt->reuse, "wait") == 0)
        return "is on its way already";
    return "is queued";
}

static int print_receipt(const struct cli *cli, const struct gantry_receipt *receipt)
{
    if (cli->options.json) {
        json_t *value =
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", receipt->id, "task", cli->argv[0], "state",
                      receipt->state, "reuse", receipt->reuse, "durability", receipt->durability);
        int code = value ? listing_print_value(cli, value)
                         : cli_say(cli, CLI_AWAY, "the receipt is no text");
        json_decref(value);
        return code;
    }
    puts(receipt->id);
    if (!cli->options.quiet && terminal_is(STDERR_FILENO))
        fprintf(stderr, "%s %s (kept: %s); `gantry wait %s` shows how it goes on\n", cli->argv[0],
                how(receipt), receipt->durability, receipt->id);
    return CLI_DONE;
}

static uint64_t given(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

/* "2026-01-31T03:00", "2026-01-31 03:00:00", with Z in UTC, else in the user's own time. 0: none of
 * these. */
static uint64_t at_ms(const char *text)
{
    static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                         "%Y-%m-%d %H:%M" };
    for (size_t i = 0; text && i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = { .tm_isdst = -1 };
        const char *end = strptime(text, forms[i], &tm);
        if (!end || (*end && strcmp(end, "Z") != 0))
            continue;
        time_t seconds = *end ? timegm(&tm) : mktime(&tm);
        return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
    }
    return 0;
}

static int hand_in(const struct cli *cli, gantry_client_t *client, const msgpack_sbuffer *input,
                   struct gantry_receipt *ret_receipt)
{
    const struct options *options = &cli->options;
    int priority =
        options->priority ? priority_by_text(slice_of(options->priority)) : GANTRY_NORMAL;
    struct gantry_receipt receipt = { 0 };
    struct gantry_task task = {
        .id = options->id,
        .task = cli->argv[0],
        .input = { input->data, input->size },
        .priority = (enum gantry_priority)priority,
        .owner = options->owner,
        .timeout_ms = (uint32_t)given(options->attempt_ms),
        .delay_ms = given(options->delay_ms),
        .not_before_ms = at_ms(options->at),
        .schedule_to_start_ms = given(options->start_ms),
        .schedule_to_close_ms = given(options->close_ms),
        .failures_max = (uint32_t)given(options->failures),
        .crashes_max = (uint32_t)given(options->crashes),
        .retry_ms = (uint32_t)given(options->retry_ms),
        .callback = options->callback,
        .reuse = options->force ? "never" : options->reuse,
    };
    int r = gantry_submit(client, &task, 1, &receipt, cli_timeout_ms(cli));
    if (r)
        return cli_refused(cli, client, r);
    if (receipt.status) {
        struct gantry_error error = { .message = receipt.message,
                                      .field = receipt.field,
                                      .limit = receipt.limit,
                                      .current = receipt.current,
                                      .retry_after_ms = receipt.retry_after_ms };
        return cli_refusal(cli, receipt.status, &error);
    }
    *ret_receipt = receipt;
    return 0;
}

static int finish(const struct cli *cli, gantry_client_t *client,
                  const struct gantry_receipt *receipt)
{
    scoped(gantry_record) record = NULL;
    char *const *stage = cli->argv;
    if (!cli->options.wait)
        return print_receipt(cli, receipt);
    int code = follow(cli, client, receipt->id, stage, 1, &record);
    if (code == 0)
        code = record_print(cli, client, record);
    return code ? code : record_exit(record, stage, 1);
}

static bool is_reuse(const char *text)
{
    static const char *const known[] = { "name", "input", "never" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text, known[i]) == 0)
            return true;
    return false;
}

static int check(const struct cli *cli)
{
    const struct options *options = &cli->options;
    if (options->reuse && !is_reuse(options->reuse))
        return cli_say(cli, CLI_USAGE, "--reuse takes name, input or never, not %s",
                       options->reuse);
    if (options->reuse && options->force)
        return cli_say(cli, CLI_USAGE, "--force is --reuse never: give one of the two");
    if (options->retry_ms > UINT32_MAX)
        return cli_say(cli, CLI_USAGE, "--retry: at most 1193h");
    if (options->failures > FAILURES_MAX || options->crashes > CRASHES_MAX)
        return cli_say(cli, CLI_USAGE, "--failures: at most %d, --crashes: at most %d",
                       FAILURES_MAX, CRASHES_MAX);
    if (options->at && at_ms(options->at) == 0)
        return cli_say(cli, CLI_USAGE,
                       "--at takes a time such as 2026-01-31T03:00 (yours) or 2026-01-31T03:00Z "
                       "(UTC), not %s",
                       options->at);
    return input_check(cli);
}

int cli_submit(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    struct gantry_receipt receipt;
    int code = check(cli);
    if (code == 0)
        code = cli_connect(cli, &client);
    if (code == 0) {
        msgpack_sbuffer packed;
        msgpack_sbuffer_init(&packed);
        code = input_pack(cli, client, cli->argv[0], cli->argv + 1, cli->argc - 1, &packed);
        if (code == 0)
            code = hand_in(cli, client, &packed, &receipt);
        msgpack_sbuffer_destroy(&packed);
    }
    return code ? code : finish(cli, client, &receipt);
}
