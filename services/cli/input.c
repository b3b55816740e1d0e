#include "services/cli/input.h"

#include "common/scoped.h"
#include "proto/message.h"
#include "services/cli/catalogue.h"

#include <errno.h>
#include <string.h>

enum { INPUT_MAX = 8 << 20 };

struct words {
    char *const *items;
    int count;
};

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

static bool is_path(const char *type)
{
    return strcmp(type, "path") == 0 || strcmp(type, "folder") == 0;
}

static int put_pair(const struct cli *cli, json_t *input, const json_t *node, const char *pair)
{
    char error[JSON_ERROR];
    struct slice key = { pair, strcspn(pair, "=") };
    const char *type = catalogue_type(node, key);
    bool path = is_path(type);
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
        int r = name && type && is_path(type) ? put_path(cli, input, name) : 0;
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

static int put_words(const struct cli *cli, gantry_client_t *client, const char *name,
                     const struct words *words, json_t *input)
{
    json_t *nodes = read_nodes(cli, client);
    const json_t *node = catalogue_node(nodes, name);
    int code = put_paths(cli, input, node);
    for (int i = 0; i < words->count && code == 0; i++)
        code = put_pair(cli, input, node, words->items[i]);
    json_decref(nodes);
    return code;
}

static int pack(const struct cli *cli, const json_t *input, msgpack_sbuffer *packed)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, packed, msgpack_sbuffer_write);
    int r = json_pack_value(input, &pk);
    if (r > 0)
        return cli_say(cli, CLI_USAGE, "--input: nested deeper than %d levels", WIRE_DEPTH_MAX);
    if (packed->size > INPUT_MAX)
        return cli_say(cli, CLI_USAGE, "the inputs are too large: files travel by their paths");
    return r ? cli_say(cli, CLI_AWAY, "%s", strerror(-r)) : 0;
}

int input_check(const struct cli *cli)
{
    const char *priority = cli->options.priority;
    if (priority && priority_by_text(slice_of(priority)) < 0)
        return cli_say(cli, CLI_USAGE, "--priority takes high, normal or low, not %s", priority);
    if (cli->options.attempt_ms > UINT32_MAX)
        return cli_say(cli, CLI_USAGE, "--limit: at most 1193h");
    return 0;
}

int input_pack(const struct cli *cli, gantry_client_t *client, const char *node, char *const *words,
               int count, msgpack_sbuffer *packed)
{
    const struct words given = { words, count };
    json_t *input = NULL;
    int code = read_input(cli, &input);
    if (code == 0)
        code = put_words(cli, client, node, &given, input);
    if (code == 0)
        code = pack(cli, input, packed);
    json_decref(input);
    return code;
}
