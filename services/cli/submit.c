#include "common/scoped.h"
#include "proto/message.h"
#include "services/cli/catalogue.h"
#include "services/cli/follow.h"
#include "services/cli/listing.h"
#include "services/cli/record.h"

#include <errno.h>
#include <string.h>

enum { INPUT_MAX = 8 << 20 };

/* ---- the input map ---- */

static bool under(const struct cli *cli, const char *path, char absolute[PATH_MAX])
{
    int length = snprintf(absolute, PATH_MAX, "%s%s%s", *path == '/' ? "" : cli->cwd,
                          *path == '/' ? "" : "/", path);
    return length > 0 && length < PATH_MAX;
}

/* A relative path that exists where the user stands becomes absolute: the worker stands elsewhere.
 */
static int put_path(const struct cli *cli, json_t *input, const char *key)
{
    char path[PATH_MAX];
    char absolute[PATH_MAX];
    const char *given = json_string_value(json_object_get(input, key));
    if (!given || !*given || *given == '/' || !under(cli, given, path) || !realpath(path, absolute))
        return 0;
    return json_object_set_new(input, key, json_string(absolute)) ? -ENOMEM : 0;
}

static int put_pair(const struct cli *cli, json_t *input, const json_t *node, const char *pair)
{
    char error[JSON_ERROR];
    struct slice key = { pair, strcspn(pair, "=") };
    const char *type = catalogue_type(node, key);
    bool path = strcmp(type, "path") == 0;
    int r = json_put_pair(input, pair, path || strcmp(type, "text") == 0, error);
    if (r > 0)
        return cli_say(cli, CLI_USAGE, "%s", error);
    if (r == 0 && path) {
        scoped_text char *name = slice_dup(key);
        r = name ? put_path(cli, input, name) : -ENOMEM;
    }
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : 0;
}

static json_t *read_json(const struct cli *cli, const char *given, json_error_t *error)
{
    char path[PATH_MAX];
    if (*given != '@')
        return json_loads(given, JSON_REJECT_DUPLICATES, error);
    if (strcmp(given, "@-") == 0)
        return json_loadf(stdin, JSON_REJECT_DUPLICATES, error);
    if (under(cli, given + 1, path))
        return json_load_file(path, JSON_REJECT_DUPLICATES, error);
    (void)snprintf(error->text, sizeof error->text, "the name is too long");
    return NULL;
}

static int read_input(const struct cli *cli, json_t **ret_input)
{
    const char *given = cli->options.input;
    json_error_t error = { .line = -1 };
    json_t *input = given ? read_json(cli, given, &error) : json_object();
    if (!input && error.line > 0)
        return cli_say(cli, CLI_USAGE, "--input, line %d column %d: %s", error.line, error.column,
                       error.text);
    if (!input)
        return cli_say(cli, CLI_USAGE, "--input: %s", given ? error.text : strerror(ENOMEM));
    if (!json_is_object(input)) {
        json_decref(input);
        return cli_say(cli, CLI_USAGE,
                       "--input: expected a map, such as {\"video_path\": \"a.mp4\"}");
    }
    *ret_input = input;
    return 0;
}

/* Paths in --input are made absolute as those of KEY=VALUE are. */
static int put_paths(const struct cli *cli, json_t *input, const json_t *node)
{
    size_t index;
    const json_t *row;
    json_array_foreach (json_object_get(node, "inputs"), index, row) {
        const char *name = json_string_value(json_object_get(row, "name"));
        const char *type = json_string_value(json_object_get(row, "type"));
        int r = name && type && strcmp(type, "path") == 0 ? put_path(cli, input, name) : 0;
        if (r)
            return cli_say(cli, CLI_AWAY, "%s", strerror(-r));
    }
    return 0;
}

/* Without a catalogue values are taken as they read, and the submit itself says what is wrong. */
static json_t *read_nodes(const struct cli *cli, gantry_client_t *client)
{
    void *body = NULL;
    size_t size = 0;
    json_t *nodes = NULL;
    int r = gantry_call(client, VERB_NODES, "", (struct gantry_bytes){ 0 }, cli_timeout_ms(cli),
                        &body, &size);
    if (r == 0)
        (void)json_from_packed(slice_make(body, size), &nodes);
    free(body);
    return nodes;
}

static int pack_input(const struct cli *cli, gantry_client_t *client, json_t *input,
                      msgpack_sbuffer *packed)
{
    json_t *nodes = read_nodes(cli, client);
    const json_t *node = catalogue_node(nodes, cli->argv[0]);
    int code = put_paths(cli, input, node);
    for (int i = 1; i < cli->argc && code == 0; i++)
        code = put_pair(cli, input, node, cli->argv[i]);
    json_decref(nodes);
    if (code)
        return code;
    msgpack_packer pk;
    msgpack_packer_init(&pk, packed, msgpack_sbuffer_write);
    int r = json_pack_value(input, &pk);
    if (r > 0)
        return cli_say(cli, CLI_USAGE, "--input: nested deeper than %d levels", WIRE_DEPTH_MAX);
    if (packed->size > INPUT_MAX)
        return cli_say(cli, CLI_USAGE, "the inputs are too large: files travel by their paths");
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : 0;
}

/* ---- the submit ---- */

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
        .timeout_ms = options->attempt_ms > 0 ? (uint32_t)options->attempt_ms : 0,
    };
    int r = gantry_submit(client, &task, 1, &receipt, cli_timeout_ms(cli));
    if (r)
        return cli_refused(cli, client, r);
    if (receipt.status) {
        struct gantry_error error = { .message = receipt.message, .field = receipt.field };
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
        code = record_print(cli, record);
    return code ? code : record_exit(record, stage, 1);
}

static int check(const struct cli *cli)
{
    const struct options *options = &cli->options;
    if (options->callback)
        return cli_say(cli, CLI_REFUSED,
                       "--callback: callbacks are not offered yet; use --wait, or `gantry wait ID` "
                       "in a script");
    if (options->priority && priority_by_text(slice_of(options->priority)) < 0)
        return cli_say(cli, CLI_USAGE, "--priority takes high, normal or low, not %s",
                       options->priority);
    if (options->attempt_ms > UINT32_MAX)
        return cli_say(cli, CLI_USAGE, "--limit: at most 1193h");
    return 0;
}

int cli_submit(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    json_t *input = NULL;
    struct gantry_receipt receipt;
    int code = check(cli);
    if (code == 0)
        code = read_input(cli, &input);
    if (code == 0)
        code = cli_connect(cli, &client);
    if (code == 0) {
        msgpack_sbuffer packed;
        msgpack_sbuffer_init(&packed);
        code = pack_input(cli, client, input, &packed);
        if (code == 0)
            code = hand_in(cli, client, &packed, &receipt);
        msgpack_sbuffer_destroy(&packed);
    }
    json_decref(input);
    return code ? code : finish(cli, client, &receipt);
}
