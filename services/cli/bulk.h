#pragma once
/* One verb over many stages: those that a filter finds, or the one that was named. A dry run shows
 * them and does nothing. */
#include "services/cli/pages.h"

struct bulk {
    uint32_t verb;     /* takes a ref */
    const char *state; /* of the stages it is for; NULL: --state says */
    const char *done;  /* "cancelled" */
};

/* The flags say which stages; at least one filter or --all must be there. An exit code. */
int bulk_run(struct cli *cli, const struct bulk *bulk);
/* One task (stage NULL: all of it). */
int bulk_one(struct cli *cli, const struct bulk *bulk, const char *id, const char *stage);
