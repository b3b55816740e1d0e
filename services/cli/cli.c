#include "services/cli/cli.h"

#include "services/cli/child.h"
#include "services/cli/find.h"
#include "services/cli/terminal.h"

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { CALL_MS = 10000 };

int cli_say(const struct cli *cli, enum cli_exit code, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "gantry %s: ", cli->verb);
    terminal_put(stderr, text);
    fputc('\n', stderr);
    return (int)code;
}

int64_t cli_timeout_ms(const struct cli *cli)
{
    return cli->options.timeout_ms > 0 ? cli->options.timeout_ms : CALL_MS;
}

int cli_connect(struct cli *cli, gantry_client_t **ret_client)
{
    char brokers[FIND_TEXT];
    int code = find_brokers(cli, brokers);
    if (code)
        return code;
    gantry_client_t *client = gantry_client_new(brokers);
    if (!client)
        return cli_say(cli, CLI_USAGE, "%s is no broker's endpoint, or memory ran out", brokers);
    *ret_client = client;
    return 0;
}

static enum cli_exit exit_of(int status)
{
    if (status < 0 || status == GANTRY_BUSY || status == GANTRY_UNAVAILABLE ||
        status == GANTRY_TIMEOUT)
        return CLI_AWAY;
    return CLI_REFUSED;
}

/* What a person can do about it; "" when the message has to do. */
static const char *advice(int status)
{
    switch (status) {
    case GANTRY_TIMEOUT:
        return "; start one with `gantry up`, name another with --broker, or wait longer with "
               "--timeout";
    case GANTRY_UNAVAILABLE:
        return "; try again in a moment, `gantry status` shows what is connected";
    case GANTRY_BUSY:
        return "; try again in a moment";
    default:
        return "";
    }
}

int cli_refusal(const struct cli *cli, int status, const struct gantry_error *error)
{
    const char *message = error && error->message && *error->message ? error->message : NULL;
    const char *field = error && error->field && *error->field ? error->field : NULL;
    if (status == GANTRY_TIMEOUT && !message)
        return cli_say(cli, CLI_AWAY, "no answer from %s within %lld ms%s", cli->where,
                       (long long)cli_timeout_ms(cli), advice(status));
    return cli_say(cli, exit_of(status), "%s: %s%s%s%s%s", gantry_status_name(status),
                   message ? message : gantry_status_text(status), field ? " (" : "",
                   field ? field : "", field ? ")" : "", advice(status));
}

int cli_refused(const struct cli *cli, const gantry_client_t *client, int status)
{
    return cli_refusal(cli, status, client && status > 0 ? gantry_client_error(client) : NULL);
}

const struct cli_verb *cli_verb_find(const char *name)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

static bool arguments_fit(const struct cli_verb *verb, int count)
{
    return count >= verb->arguments_least &&
           (verb->arguments_most < 0 || count <= verb->arguments_most);
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli cli = { .verb = verb->name, .where = "" };
    int first = 0;
    if (flags_parse(verb->on, argc, argv, &cli.options, &first))
        return CLI_USAGE;
    if (cli.options.help) {
        cli_help_print(stdout, verb);
        return CLI_DONE;
    }
    cli.argc = argc - first;
    cli.argv = argv + first;
    if (!arguments_fit(verb, cli.argc))
        return cli_say(&cli, CLI_USAGE, "expected `gantry %s %s` (see `gantry help %s`)",
                       verb->name, verb->arguments, verb->name);
    if (cli.options.data && !*cli.options.data)
        return cli_say(&cli, CLI_USAGE, "--data is empty: it takes the name of a folder");
    if (!getcwd(cli.cwd, sizeof cli.cwd))
        return cli_say(&cli, CLI_AWAY, "the current folder: %s", strerror(errno));
    cli.colour = !cli.options.no_color && terminal_has_colour(STDOUT_FILENO);
    int code = verb->run(&cli);
    if (fflush(stdout) || ferror(stdout))
        return cli_say(&cli, CLI_AWAY, "standard output: %s", strerror(errno));
    return code;
}

/* The verb that shares the longest start with what was typed, or NULL. */
static const char *nearest(const char *typed)
{
    const char *best = NULL;
    size_t most = 1;
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        size_t same = 0;
        while (typed[same] && typed[same] == verb->name[same])
            same++;
        if (same > most) {
            most = same;
            best = verb->name;
        }
    }
    return best;
}

static int no_verb(const char *typed)
{
    const char *near = nearest(typed);
    fprintf(stderr, "gantry: ");
    terminal_put(stderr, typed);
    fprintf(stderr, " is no verb%s%s%s; `gantry help` lists them\n",
            near ? ", did you mean `gantry " : "", near ? near : "", near ? "`?" : "");
    return CLI_USAGE;
}

int cli_main(int argc, char **argv)
{
    (void)setlocale(LC_CTYPE, "");
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, CHILD_VERB) == 0)
        return child_main(argc - 2, argv + 2);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("gantry " GANTRY_VERSION);
        return CLI_DONE;
    }
    if (!*word) {
        cli_help_print(stderr, NULL);
        return CLI_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli_help_print(stdout, NULL);
        return CLI_DONE;
    }
    const struct cli_verb *verb = cli_verb_find(word);
    return verb ? run(verb, argc - 1, argv + 1) : no_verb(word);
}
