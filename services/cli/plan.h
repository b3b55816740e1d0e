#pragma once
/* What `gantry up` will start, from its flags: programs found, gantry.yaml and redis.conf written,
 * and the children's command lines. */
#include "services/cli/address.h"
#include "services/cli/cli.h"
#include "services/cli/layout.h"

enum {
    PLAN_REDIS,
    PLAN_BROKER,
    PLAN_STATE,
    PLAN_WORKER,
    PLAN_FRONT,
    PLAN_RANKS
}; /* ranks: stopped from the last to the first */
enum { PLAN_WORKERS_MAX = 64, PLAN_CHILDREN_MAX = PLAN_WORKERS_MAX + 5, PLAN_ARGUMENTS = 7 };

struct plan_child {
    char name[32];
    const char *argv[PLAN_ARGUMENTS];
    char flag[96]; /* an argument of its own, or "" */
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
    char services[PATH_MAX]; /* of all workers together: "ffmpeg,system" */
    char pool[PATH_MAX];     /* flag of the services that --workers and --slots are for, or "" */
    bool system;             /* system is served as well */
    struct address http;     /* of size 0: none */
    int http_fd;             /* holds it, or -1 */
    bool tls;
    int64_t patience_ms[PLAN_RANKS]; /* between SIGTERM and SIGKILL */
    size_t workers;
    size_t count;
    struct plan_child children[PLAN_CHILDREN_MAX];
} plan_t;

/* The process goes to the data folder, where children start. 0, or an exit code after saying what
 * is wrong. */
int plan_new(const struct cli *cli, const struct layout *layout, plan_t **ret_plan);
void plan_destroy(plan_t **self_p);
