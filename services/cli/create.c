#include "common/scoped.h"
#include "common/status.h"
#include "proto/schema.h"
#include "services/cli/follow.h"
#include "services/cli/listing.h"
#include "services/cli/record.h"

#include <errno.h>
#include <string.h>

/* A video on another file system is copied; a broker answers within a minute, and is asked again.
 */
enum { PATIENCE_MS = 600000 };

/* The absolute path, without the links that lead to its folder: one that the file itself is, is
 * for the system to refuse. */
static int absolute(const struct cli *cli, const char *file, char ret_path[PATH_MAX])
{
    char given[PATH_MAX], folder[PATH_MAX];
    const bool whole = *file == '/';
    if (snprintf(given, sizeof given, "%s%s%s", whole ? "" : cli->cwd, whole ? "" : "/", file) >=
        PATH_MAX)
        return cli_say(cli, CLI_USAGE, "%s: %s", file, strerror(ENAMETOOLONG));
    char *slash = strrchr(given, '/');
    *slash = '\0';
    if (!realpath(*given ? given : "/", folder))
        return cli_say(cli, CLI_USAGE, "%s: %s", file, strerror(errno));
    if (snprintf(ret_path, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, slash + 1) >=
        PATH_MAX)
        return cli_say(cli, CLI_USAGE, "%s: %s", file, strerror(ENAMETOOLONG));
    return 0;
}

/* So that nobody waits for minutes where nobody is. */
static int reach(const struct cli *cli, gantry_client_t *client)
{
    void *body = NULL;
    size_t size = 0;
    int r = gantry_call(client, VERB_STATUS, "", (struct gantry_bytes){ 0 }, cli_timeout_ms(cli),
                        &body, &size);
    free(body);
    return r ? cli_refused(cli, client, r) : 0;
}

static int explain(const struct cli *cli, const gantry_client_t *client, const char *path, int r)
{
    int code = cli_refused(cli, client, r);
    if (r == STATUS_DENIED || r == STATUS_NOT_FOUND)
        fprintf(stderr,
                "A video is taken from storage.local or a folder of the setting "
                "storage.input_roots, as the machine of gantry-state sees it: `gantry up "
                "--input-root %.*s` names one\n",
                (int)(strrchr(path, '/') - path), path);
    return code;
}

static int print_id(const struct cli *cli, const char *id)
{
    if (cli->options.json) {
        json_t *value = json_pack("{s:s}", "task_id", id);
        int code =
            value ? listing_print_value(cli, value) : cli_say(cli, CLI_AWAY, "the id is no text");
        json_decref(value);
        return code;
    }
    puts(id);
    if (!cli->options.quiet && terminal_is(STDERR_FILENO))
        fprintf(stderr, "the video was taken over; `gantry wait %s` shows how it goes on\n", id);
    return CLI_DONE;
}

static int finish(const struct cli *cli, gantry_client_t *client, const char *id)
{
    scoped(gantry_record) record = NULL;
    if (!cli->options.wait)
        return print_id(cli, id);
    int code = follow(cli, client, id, NULL, 0, &record);
    if (code == 0)
        code = record_print(cli, client, record);
    return code ? code : record_exit(record, NULL, 0);
}

int cli_create(struct cli *cli)
{
    scoped(gantry_client) client = NULL;
    char path[PATH_MAX], id[GANTRY_ID_SIZE];
    int code = absolute(cli, cli->argv[0], path);
    if (code == 0)
        code = cli_connect(cli, &client);
    if (code == 0)
        code = reach(cli, client);
    if (code)
        return code;
    const int64_t given_ms = cli->options.timeout_ms;
    int r = gantry_create_task(client, path, NULL, given_ms > 0 ? given_ms : PATIENCE_MS, id);
    return r ? explain(cli, client, path, r) : finish(cli, client, id);
}
