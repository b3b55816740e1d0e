#include "services/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "common/scoped.h"
#include "services/cli/layout.h"
#include "services/cli/listing.h"
#include "services/cli/migration.h"
#include "services/cli/progress.h"
#include "services/cli/terminal.h"

static const struct listing_column note_columns[] = {
    { "TASK", "task", LISTING_TEXT },
    { "FILE", "path", LISTING_TEXT },
    { "WHAT", "what", LISTING_STATE },
    { "WHY", "why", LISTING_TEXT },
};

static const struct listing_column sum_columns[] = {
    { "WHAT", "what", LISTING_TEXT },
    { "FILES", "files", LISTING_NUMBER },
    { "BYTES", "bytes", LISTING_BYTES },
};

/* ---- where -------------------------------------------------------------------------------------
 */

/* The settings of a local system, if there is one; else those of the environment. */
static int load_settings(const struct cli *cli, config_t **ret_config)
{
    struct layout layout;
    char file[PATH_MAX];
    char error[CONFIG_ERROR];
    char *none[] = { NULL };
    const char *data = cli->options.data ? cli->options.data : getenv("GANTRY_DATA");
    const bool named = data && *data;
    const bool found = layout_find(named ? data : "gantry-data", &layout) == 0 &&
                       layout_path(&layout, "gantry.yaml", file) && access(file, R_OK) == 0;
    if (named && !found)
        return cli_say(cli, CLI_AWAY, "no system at %s: it has no gantry.yaml", data);
    const char *given = found ? file : getenv("GANTRY_CONFIG");
    int r = config_load(ret_config, given && *given ? given : NULL, 0, none, USED_BY_WORKER, error);
    return r ? cli_say(cli, CLI_USAGE, "%s", r > 0 ? error : strerror(-r)) : 0;
}

static int find_roots(const struct cli *cli, const config_t *config, struct migration_row *row)
{
    const struct settings *settings = config_settings(config);
    row->from = cli->options.from ? cli->options.from : settings->storage_legacy;
    row->to = cli->options.to ? cli->options.to : settings->storage_root;
    if (!*row->from || !*row->to)
        return cli_say(cli, CLI_USAGE,
                       "name the older system's folder with --from DIR, or set storage.legacy");
    return 0;
}

/* ---- what is shown -----------------------------------------------------------------------------
 */

static void show_progress(void *arg, uint64_t done, uint64_t of, int64_t bytes)
{
    const struct cli *cli = arg;
    char bar[PROGRESS_BAR + 1];
    if (cli->options.quiet || !terminal_is(STDERR_FILENO))
        return;
    progress_bar((double)done / (double)of, bar);
    fprintf(stderr, "\r\033[K%s %llu of %llu tasks, %lld MiB", bar, (unsigned long long)done,
            (unsigned long long)of, (long long)(bytes >> 20));
    (void)fflush(stderr);
}

static void end_progress(const struct cli *cli)
{
    if (!cli->options.quiet && terminal_is(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static json_t *sum_of(const struct migration_row *row, const struct migration_counts *counts)
{
    const char *moved = row->back ? "moved back" : "moved";
    if (row->dry)
        moved = row->back ? "would be moved back" : "would be moved";
    return json_pack("[{s:s,s:I,s:I},{s:s,s:I},{s:s,s:I},{s:s,s:I},{s:s,s:I}]", "what", moved,
                     "files", (json_int_t)counts->moved, "bytes", (json_int_t)counts->moved_bytes,
                     "what", "skipped: the same is there", "files", (json_int_t)counts->skipped,
                     "what", "conflict", "files", (json_int_t)counts->conflicts, "what",
                     "left alone", "files", (json_int_t)counts->left, "what", "failed", "files",
                     (json_int_t)counts->failed);
}

static json_t *answer_of(const struct migration_row *row, const struct migration_counts *counts,
                         json_t *notes)
{
    return json_pack(
        "{s:s,s:s,s:b,s:b,s:I,s:{s:I,s:I},s:I,s:I,s:I,s:I,s:O}", "from", row->from, "to", row->to,
        "back", (int)row->back, "dry_run", (int)row->dry, "tasks", (json_int_t)counts->tasks,
        "moved", "files", (json_int_t)counts->moved, "bytes", (json_int_t)counts->moved_bytes,
        "skipped", (json_int_t)counts->skipped, "conflicts", (json_int_t)counts->conflicts, "left",
        (json_int_t)counts->left, "failed", (json_int_t)counts->failed, "notes", notes);
}

static int show_tables(const struct cli *cli, const struct migration_row *row,
                       const struct migration_counts *counts, const json_t *notes)
{
    json_t *sum = sum_of(row, counts);
    int code = CLI_DONE;
    if (json_array_size(notes) > 0)
        code = listing_print_table(cli, notes, note_columns,
                                   sizeof note_columns / sizeof *note_columns);
    if (json_array_size(notes) > 0 && code == CLI_DONE)
        putchar('\n');
    if (code == CLI_DONE)
        code = listing_print_table(cli, sum, sum_columns, sizeof sum_columns / sizeof *sum_columns);
    json_decref(sum);
    return code;
}

static int show(const struct cli *cli, const struct migration_row *row,
                const struct migration_counts *counts, json_t *notes)
{
    if (!cli->options.json)
        return show_tables(cli, row, counts, notes);
    json_t *answer = answer_of(row, counts, notes);
    int code = answer ? listing_print_value(cli, answer)
                      : cli_say(cli, CLI_AWAY, "a folder's name is no UTF-8, or memory ran out");
    json_decref(answer);
    return code;
}

/* ---- the verb ----------------------------------------------------------------------------------
 */

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int say_problem(const struct cli *cli, const struct migration_row *row, int problem)
{
    if (problem == -EBUSY)
        return cli_say(cli, CLI_REFUSED, "another one is at work on %s", row->to);
    if (problem == -EINVAL)
        return cli_say(cli, CLI_USAGE, "%s and %s are one folder, or one lies in the other",
                       row->from, row->to);
    if (!is_folder(row->from) || !is_folder(row->to))
        return cli_say(cli, CLI_AWAY, "No such file or directory: %s must be a folder",
                       is_folder(row->from) ? row->to : row->from);
    return cli_say(cli, CLI_AWAY, "%s, %s: %s; say it again to go on", row->from, row->to,
                   strerror(-problem));
}

static int migrate(struct cli *cli, const struct migration_row *row)
{
    struct migration_counts counts = { 0 };
    json_t *notes = NULL;
    int r = migration_run(row, &counts, &notes);
    end_progress(cli);
    const bool begun = counts.tasks || counts.left;
    int code = r == 0 || begun ? show(cli, row, &counts, notes) : CLI_DONE;
    json_decref(notes);
    if (r)
        return say_problem(cli, row, r);
    if (code == CLI_DONE && row->back && !begun)
        (void)cli_say(
            cli, CLI_DONE,
            "nothing that was moved to %s is left to go back: what was deleted there since "
            "is gone at both places",
            row->to);
    if (code == CLI_DONE && (counts.conflicts || counts.failed))
        code = cli_say(cli, CLI_FAILED, "not all of %s %s; say it again once that is seen to",
                       row->back ? row->to : row->from, row->dry ? "can be moved" : "was moved");
    return code;
}

int cli_migrate(struct cli *cli)
{
    struct migration_row row = { .back = cli->options.back,
                                 .dry = cli->options.dry_run,
                                 .progress = show_progress,
                                 .arg = cli };
    scoped(config) config = NULL;
    if (strcmp(cli->argv[0], "single_tasks") != 0)
        return cli_say(cli, CLI_USAGE, "%s: only single_tasks can be migrated", cli->argv[0]);
    int code = load_settings(cli, &config);
    if (code == 0)
        code = find_roots(cli, config, &row);
    return code ? code : migrate(cli, &row);
}
