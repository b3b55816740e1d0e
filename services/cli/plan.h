#pragma once
/* What `gantry up` will start, from its flags: programs found, gantry.yaml and redis.conf written,
 * and the children's command lines. */
#include "services/cli/cli.h"
#include "services/cli/layout.h"

enum {
    PLAN_REDIS,
    PLAN_BROKER,
    PLAN_STATE,
    PLAN_WORKER,
    PLAN_RANKS
}; /* ranks: stopped from the last to the first */
enum { PLAN_WORKERS_MAX = 64, PLAN_CHILDREN_MAX = PLAN_WORKERS_MAX + 3, PLAN_ARGUMENTS = 5 };

struct plan_child {
    char name[32];
    const char *argv[PLAN_ARGUMENTS];
    char flag[64]; /* an argument of its own, or "" */
    char log[PATH_MAX];
    int rank;
};

typedef struct plan {
    struct layout layout;
    char self[PATH_MAX];                 /* this program */
    char programs[PLAN_RANKS][PATH_MAX]; /* by rank */
    char config[PATH_MAX];
    char redis_conf[PATH_MAX];
    char redis_lock[PATH_MAX];
    char clients[LAYOUT_ENDPOINT];
    char input_roots[FILENAME_MAX];
    int64_t drain_ms; /* a worker's patience, with the time its tasks' processes have to end */
    size_t workers;
    size_t count;
    struct plan_child children[PLAN_CHILDREN_MAX];
} plan_t;

/* The process goes to the data folder, where children start. 0, or an exit code after saying what
 * is wrong. */
int plan_new(const struct cli *cli, const struct layout *layout, plan_t **ret_plan);
void plan_destroy(plan_t **self_p);
