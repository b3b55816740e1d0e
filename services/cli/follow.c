#include "services/cli/follow.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/progress.h"
#include "services/cli/terminal.h"

#include <errno.h>
#include <string.h>

/* A terminal is drawn often enough to look alive; lines for a log come seldom. */
enum { LOOK_TERMINAL_MS = 250, LOOK_PLAIN_MS = 1000, LOOK_ANSWER_MS = 2000 };

struct watch {
    size_t open;
    int status; /* the first that was not 0 */
};

static void on_ended(void *arg, int status, const gantry_record_t *record)
{
    struct watch *watch = arg;
    (void)record;
    watch->open--;
    if (watch->status == 0)
        watch->status = status;
}

static int begin(const struct cli *cli, gantry_client_t *client, const char *id, const char *stage,
                 struct watch *watch)
{
    int64_t timeout_ms = cli->options.timeout_ms > 0 ? cli->options.timeout_ms : 0;
    int r = gantry_wait_begin(client, id, stage, timeout_ms, on_ended, watch);
    watch->open += r == 0;
    return r;
}

static bool shown(const struct cli *cli)
{
    return cli->options.progress || (!cli->options.quiet && !cli->options.json);
}

static void look(gantry_client_t *client, const char *id, progress_t *progress)
{
    scoped(gantry_record) record = NULL;
    int r = gantry_get(client, id, LOOK_ANSWER_MS, &record);
    if (r == 0)
        progress_show(progress, record);
    else if (r == GANTRY_TIMEOUT || r == GANTRY_UNAVAILABLE)
        progress_note(progress, "the system does not answer, still waiting");
}

static int run(gantry_client_t *client, const char *id, progress_t *progress, int64_t every_ms,
               const struct watch *watch)
{
    int64_t look_ms = clock_ms() + LOOK_TERMINAL_MS;
    int r = 0;
    while (watch->open && watch->status == 0 && r == 0) {
        int64_t left_ms = progress ? look_ms - clock_ms() : every_ms;
        r = gantry_client_turn(client, left_ms > 0 ? left_ms : 0);
        if (!progress || !watch->open || clock_ms() < look_ms)
            continue;
        look(client, id, progress);
        look_ms = clock_ms() + every_ms;
    }
    return r;
}

static int say_late(const struct cli *cli, const char *id)
{
    char span[SPAN_TEXT];
    return cli_say(cli, CLI_AWAY, "%s has not ended within %s; it goes on, see `gantry show %s`",
                   id, terminal_span((uint64_t)cli->options.timeout_ms, span), id);
}

static int await(const struct cli *cli, gantry_client_t *client, const char *id,
                 char *const *stages, int count, progress_t *progress)
{
    static struct watch watch; /* waits that are given up here end with the client, after us */
    watch = (struct watch){ 0 };
    int64_t every_ms = terminal_is(STDERR_FILENO) ? LOOK_TERMINAL_MS : LOOK_PLAIN_MS;
    int r = count ? 0 : begin(cli, client, id, NULL, &watch);
    for (int i = 0; i < count && r == 0; i++)
        r = begin(cli, client, id, stages[i], &watch);
    if (r == 0)
        r = run(client, id, progress, every_ms, &watch);
    if (r == 0)
        r = watch.status;
    if (r == GANTRY_TIMEOUT && cli->options.timeout_ms > 0)
        return say_late(cli, id);
    return r ? cli_refused(cli, client, r) : 0;
}

int follow(const struct cli *cli, gantry_client_t *client, const char *id, char *const *stages,
           int count, gantry_record_t **ret_record)
{
    scoped(progress) progress = NULL;
    bool show = shown(cli);
    if (show) {
        progress = progress_new(terminal_is(STDERR_FILENO),
                                !cli->options.no_color && terminal_has_colour(STDERR_FILENO));
        if (!progress)
            return cli_say(cli, CLI_AWAY, "%s", strerror(ENOMEM));
    }
    int code = await(cli, client, id, stages, count, progress);
    if (code)
        return code;
    int r = gantry_get(client, id, cli_timeout_ms(cli), ret_record);
    if (r)
        return cli_refused(cli, client, r);
    if (progress)
        progress_show(progress, *ret_record);
    return 0;
}
