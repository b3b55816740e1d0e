#pragma once
/* What every verb of `gantry` is given, how it reaches the system, and how it says what went wrong.
 */
#include "proto/gantry.h"
#include "services/cli/flags.h"

#include <limits.h>

/* Exit codes of every verb, documented in gantry(1). */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,  /* a stage failed or was cancelled; up: a process of the system cannot start */
    CLI_USAGE = 2,   /* the command line is wrong */
    CLI_REFUSED = 3, /* the system refused: INVALID, NOT_FOUND, ... */
    CLI_AWAY = 4     /* no answer: UNAVAILABLE, BUSY, a time-out, or trouble of this machine */
};

struct cli {
    const char *verb;
    struct options options;
    int argc; /* what is left after the flags */
    char **argv;
    bool colour;        /* on standard output */
    char cwd[PATH_MAX]; /* where the user is; the process may have left it, see find.h */
    const char *where;  /* the system as the user named it, for messages */
};

typedef int cli_verb_fn(struct cli *cli);

struct cli_verb {
    const char *name;
    unsigned on;           /* its flags' ON_ bit */
    const char *arguments; /* "ID [STAGE...]" */
    const char *summary;
    const char *help; /* more lines of --help, with examples */
    int arguments_least, arguments_most;
    cli_verb_fn *run;
};

/* One a file. */
cli_verb_fn cli_up, cli_submit, cli_create, cli_show, cli_wait, cli_list, cli_cancel, cli_status,
    cli_workers, cli_queues, cli_nodes, cli_help, cli_dead, cli_cron, cli_pause, cli_resume,
    cli_drain, cli_undrain, cli_ledger, cli_audit, cli_why, cli_events, cli_delete, cli_disk,
    cli_migrate;

/* Ends with a row without a name. */
extern const struct cli_verb cli_verbs[];
const struct cli_verb *cli_verb_find(const char *name);
/* Usage, flags and examples of one verb; the overview for NULL. */
void cli_help_print(FILE *out, const struct cli_verb *verb);

/* main() of gantry. */
int cli_main(int argc, char **argv);

/* "gantry VERB: " and a sentence on stderr; answers code. */
int cli_say(const struct cli *cli, enum cli_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A client of the system that flags and environment name. 0, or an exit code after saying why not.
 */
int cli_connect(struct cli *cli, gantry_client_t **ret_client);
/* --timeout, or the default of calls that only ask. */
int64_t cli_timeout_ms(const struct cli *cli);

/* Says what a call's negative answer means and what to do. client may be NULL. Answers the exit
 * code. */
int cli_refused(const struct cli *cli, const gantry_client_t *client, int status);
/* The same for a refusal whose parts lie elsewhere, such as a receipt's. */
int cli_refusal(const struct cli *cli, int status, const struct gantry_error *error);
