#pragma once
/* The frame of every daemon: settings, log, loop, signals, a clean stop.
 *
 * SIGTERM and SIGINT call stop once; the program ends when nothing is left active on the loop after
 * program_end(), exit code 0. A second SIGINT ends at once with 130. SIGPIPE is ignored, CZMQ's
 * signal handlers are off. --help, --version, --config FILE and the settings' flags are understood.
 */
#include "common/config.h"
#include "common/zhub.h"

#include <uv.h>

typedef struct program program_t;

struct program_row {
    const char *name;     /* "gantry-broker" */
    const char *summary;  /* one line */
    const char *examples; /* lines of --help */
    unsigned used_by;     /* USED_BY_x */
    /* 0, or negative errno (after logging why): the program ends with 1, or, of a setting that
     * cannot be, which is -EINVAL, with 2. */
    int (*start)(program_t *program, const struct settings *settings, void **ret_self);
    /* Told to stop: let go of what is under way and call program_end() when done, now or later. */
    void (*stop)(void *self);
    /* Frees everything; handles are closed here. Called once, also after a start that failed with
     * self set. */
    void (*destroy)(void *self);
};

/* main() of a daemon. Exit codes: 0 stopped, 1 failed (logged), 2 wrong usage or settings. */
int program_main(const struct program_row *row, int argc, char **argv);

uv_loop_t *program_loop(program_t *self);
zhub_t *program_hub(program_t *self);
/* The process' ZeroMQ context, which outlives what start made: its sockets are closed in destroy.
 */
void *program_zmq(program_t *self);
/* Leave the loop; code is the exit code. The first call counts. Safe from any callback. */
void program_end(program_t *self, int code);

/* As many open files as the hard limit allows (login shells give 1024); a warning when that is less
 * than the setting, and the program itself, need. */
enum { PROGRAM_FILES_OWN = 128 };
void program_raise_files(const char *setting, int64_t wanted, const char *why);
