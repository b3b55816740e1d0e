#include "services/cli/record.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/delivery.h"
#include "services/cli/listing.h"
#include "services/cli/table.h"

#include <errno.h>
#include <string.h>

static const struct table_column stage_columns[] = {
    { "STAGE", false }, { "STATE", false }, { "PROGRESS", true }, { "TRIES", true },
    { "WAITED", true }, { "TOOK", true },   { "WORKER", false },
};
enum { STAGE_COLUMNS = sizeof stage_columns / sizeof *stage_columns };

static void add_span(table_t *table, uint64_t from_ms, uint64_t to_ms)
{
    char text[SPAN_TEXT] = "-";
    if (from_ms)
        (void)terminal_span(to_ms > from_ms ? to_ms - from_ms : 0, text);
    table_add(table, text);
}

static void add_stage(table_t *table, const struct gantry_stage *stage, uint64_t now_ms)
{
    uint64_t until_ms = stage->ended_ms ? stage->ended_ms : now_ms;
    bool waits = strcmp(stage->state, "scheduled") == 0 || strcmp(stage->state, "pending") == 0;
    uint64_t started_ms = waits ? 0 : stage->started_ms; /* else it is an earlier attempt's */
    table_add(table, stage->task);
    table_add_colour(table, stage->state, terminal_state_colour(stage->state));
    if (strcmp(stage->state, "completed") == 0)
        table_add(table, "100 %");
    else if (stage->progress > 0)
        table_addf(table, "%.0f %%", 100 * stage->progress);
    else
        table_add(table, NULL);
    table_addf(table, "%u", stage->attempt);
    add_span(table, stage->created_ms, started_ms ? started_ms : until_ms);
    add_span(table, started_ms, until_ms);
    table_add(table, stage->worker);
}

static int print_stages(const struct cli *cli, const gantry_record_t *record)
{
    scoped(table) table = table_new(stage_columns, STAGE_COLUMNS);
    uint64_t now_ms = (uint64_t)clock_wall_ms();
    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < gantry_record_count(record); i++)
        add_stage(table, gantry_record_stage(record, i), now_ms);
    return table_print(table, stdout, cli->colour);
}

static void print_field(const char *key, const json_t *value)
{
    scoped_text char *line = json_line(value);
    fputs("  ", stdout);
    terminal_put(stdout, key);
    fputs("  ", stdout);
    terminal_put(stdout, line ? line : "?");
    fputc('\n', stdout);
}

static void print_output(struct gantry_bytes packed)
{
    json_t *output = NULL;
    const char *key;
    json_t *value;
    if (!packed.size || json_from_packed(slice_make(packed.data, packed.size), &output))
        return;
    json_object_foreach (output, key, value) {
        print_field(key, value);
    }
    json_decref(output);
}

/* The engine's last words, line by line. */
static void print_last_words(const json_t *error)
{
    const char *text = json_string_value(json_object_get(error, "stderr"));
    scoped_text char *words = text && *text ? strdup(text) : NULL;
    if (!words)
        return;
    puts("  its last words:");
    char *rest = words;
    for (char *line; (line = strsep(&rest, "\r\n"));) {
        if (!*line)
            continue;
        fputs("    | ", stdout);
        terminal_put(stdout, line);
        fputc('\n', stdout);
    }
}

static void print_error(const struct cli *cli, const struct gantry_stage *stage)
{
    json_t *error = NULL;
    fputs(terminal_colour(COLOUR_BAD, cli->colour), stdout);
    fputs("  ", stdout);
    terminal_put(stdout, *stage->error_code ? stage->error_code : "FAILED");
    fputs(terminal_plain(COLOUR_BAD, cli->colour), stdout);
    fputs(": ", stdout);
    terminal_put(stdout,
                 *stage->error_message ? stage->error_message : "the worker said nothing more");
    if (*stage->error_field) {
        fputs(" (", stdout);
        terminal_put(stdout, stage->error_field);
        fputc(')', stdout);
    }
    fputc('\n', stdout);
    if (json_from_packed(slice_make(stage->error.data, stage->error.size), &error) == 0)
        print_last_words(error);
    json_decref(error);
}

/* The attempts before the last one. */
static void print_history(const struct gantry_stage *stage)
{
    json_t *history = NULL;
    size_t index;
    const json_t *attempt;
    if (!stage->history.size ||
        json_from_packed(slice_make(stage->history.data, stage->history.size), &history))
        return;
    json_array_foreach (history, index, attempt) {
        char ended[LISTING_TEXT_MAX];
        const char *state = json_string_value(json_object_get(attempt, "state"));
        const char *worker = json_string_value(json_object_get(attempt, "worker"));
        const json_t *error = json_object_get(attempt, "error");
        const char *message = json_string_value(json_object_get(error, "message"));
        printf("  attempt %lld %s %s",
               (long long)json_integer_value(json_object_get(attempt, "attempt")),
               state ? state : "ended",
               listing_text(json_object_get(attempt, "ended_ms"), LISTING_TIME, ended));
        fputs(worker ? " on " : "", stdout);
        terminal_put(stdout, worker ? worker : "");
        fputs(message ? ": " : "", stdout);
        terminal_put(stdout, message ? message : "");
        fputc('\n', stdout);
        print_last_words(error);
    }
    json_decref(history);
}

/* What CreateTask made, and who has it. */
static void print_created(const struct gantry_stage *stage)
{
    json_t *input = NULL;
    const json_t *path = NULL;
    if (json_from_packed(slice_make(stage->input.data, stage->input.size), &input) == 0)
        path = json_object_get(input, "video_path");
    if (path)
        print_field("video_path", path);
    if (strcmp(stage->worker, "external") == 0)
        puts("  an outside processor has it");
    json_decref(input);
}

static void print_due(const struct gantry_stage *stage)
{
    if (stage->due_ms == 0 || strcmp(stage->state, "scheduled") != 0)
        return;
    char due[SPAN_TEXT];
    printf("  starts no sooner than %s\n", terminal_time(stage->due_ms, due));
}

static void print_detail(const struct cli *cli, gantry_client_t *client,
                         const struct gantry_stage *stage)
{
    const bool created = strcmp(stage->task, "video.process") == 0;
    if (!stage->output.size && !stage->error.size && !stage->history.size && !stage->due_ms &&
        !*stage->callback && !created)
        return;
    fputc('\n', stdout);
    fputs(terminal_colour(COLOUR_STRONG, cli->colour), stdout);
    terminal_put(stdout, stage->task);
    fputs(terminal_plain(COLOUR_STRONG, cli->colour), stdout);
    fputc('\n', stdout);
    if (created)
        print_created(stage);
    print_due(stage);
    print_history(stage);
    if (stage->error.size)
        print_error(cli, stage);
    print_output(stage->output);
    delivery_print(cli, client, stage);
}

static void print_head(const struct cli *cli, const gantry_record_t *record)
{
    char created[SPAN_TEXT];
    const char *status = gantry_record_status(record);
    enum terminal_colour colour = terminal_state_colour(status);
    printf("task     ");
    terminal_put(stdout, gantry_record_id(record));
    printf("\nstatus   %s", terminal_colour(colour, cli->colour));
    terminal_put(stdout, status);
    printf("%s\nfolder   ", terminal_plain(colour, cli->colour));
    terminal_put(stdout, gantry_record_storage_path(record));
    printf("\ncreated  %s\n\n", terminal_time(gantry_record_created_ms(record), created));
}

int record_print(const struct cli *cli, gantry_client_t *client, const gantry_record_t *record)
{
    struct gantry_bytes bytes = gantry_record_bytes(record);
    if (cli->options.json)
        return listing_print_json(cli, slice_make(bytes.data, bytes.size));
    print_head(cli, record);
    int r = print_stages(cli, record);
    if (r)
        return cli_say(cli, CLI_AWAY, "%s", strerror(-r));
    for (size_t i = 0; i < gantry_record_count(record); i++)
        print_detail(cli, client, gantry_record_stage(record, i));
    return CLI_DONE;
}

static bool bad(const struct gantry_stage *stage)
{
    return terminal_state_colour(stage->state) == COLOUR_BAD;
}

static bool meant(const struct gantry_stage *stage, char *const *stages, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(stages[i], stage->task) == 0)
            return true;
    return count == 0;
}

int record_exit(const gantry_record_t *record, char *const *stages, int count)
{
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        if (meant(stage, stages, count) && bad(stage))
            return CLI_FAILED;
    }
    return CLI_DONE;
}
