#include "services/cli/cli.h"

static void print_overview(FILE *out)
{
    fputs("gantry: a durable task queue for media work\n\nusage: gantry VERB [ARGUMENT...] "
          "[--FLAG...]\n\n",
          out);
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++)
        fprintf(out, "  %-8s  %s\n", verb->name, verb->summary);
    fputs(
        "\nstart here:\n"
        "  gantry up                                          in one terminal\n"
        "  gantry submit system.echo value=hello --wait       in another\n"
        "\nA system is found by --broker or --data, GANTRY_BROKER or GANTRY_DATA, or in "
        "./gantry-data.\n"
        "Exit codes: 0 done, 1 a stage failed or was cancelled, 2 wrong usage, 3 refused, 4 no "
        "answer.\n"
        "`gantry help VERB` has flags and examples; `man gantry` has it all; `gantry --version`.\n",
        out);
}

void cli_help_print(FILE *out, const struct cli_verb *verb)
{
    if (!verb) {
        print_overview(out);
        return;
    }
    fprintf(out, "gantry %s: %s\n\nusage: gantry %s%s%s%s\n\n%s\nflags:\n", verb->name,
            verb->summary, verb->name, *verb->arguments ? " " : "", verb->arguments,
            verb->on == ON_HELP ? "" : " [--FLAG...]", verb->help);
    flags_print(out, verb->on);
}

int cli_help(struct cli *cli)
{
    const struct cli_verb *verb = cli->argc ? cli_verb_find(cli->argv[0]) : NULL;
    if (cli->argc && !verb)
        return cli_say(cli, CLI_USAGE, "%s is no verb; `gantry help` lists them", cli->argv[0]);
    cli_help_print(stdout, verb);
    return CLI_DONE;
}
