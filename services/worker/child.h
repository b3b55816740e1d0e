#pragma once
/* One engine under its launcher gantry-exec: fed, listened to, and ended. Knows no task. */
#include "services/worker/exec_report.h"
#include "services/worker/tail.h"

#include <uv.h>

typedef struct child child_t;

struct child_end {
    struct exec_report report; /* ended is false when the launcher itself was killed */
    struct tail tail;          /* of its output and error output */
};

struct child_row {
    uv_loop_t *loop;
    const char *launcher;       /* path of gantry-exec */
    const char *const *command; /* ends with NULL */
    char **env;                 /* ends with NULL */
    const char *folder;         /* where it runs */
    struct slice input;         /* its standard input; borrowed until the end */
    int64_t until_ms;           /* killed then, unless renewed; clock_ms */
    int64_t grace_ms;           /* between SIGTERM and SIGKILL, when the launcher is told to end */
    /* What came on descriptor 3. False: it shall be killed. */
    bool (*said)(void *arg, struct slice bytes);
    /* Once, and last: no process of it is left. Destroy it here or later. */
    void (*ended)(void *arg, const struct child_end *end);
    void *arg;
};

/* 0 or -errno. All of row is borrowed for the call, but for input. */
int child_start(const struct child_row *row, child_t **ret_child);
/* Whatever is left of it is killed, and nothing is called back any more. Handles close in the
 * loop's next turns. */
void child_destroy(child_t **self_p);

/* Renewed: it may run until then. */
void child_renew(child_t *self, int64_t until_ms);
/* SIGTERM now, SIGKILL to all that is left after grace_ms. */
void child_stop(child_t *self, int64_t grace_ms);
void child_kill(child_t *self);
