#pragma once
/* One verb over many stages: those that a filter finds, or the one that was named. A dry run shows
 * them and does nothing. */
#include "services/cli/pages.h"

struct bulk {
    uint32_t verb;             /* takes a ref */
    const char *const *states; /* of the stages it is for; ends with NULL. --state may name one */
    const char *done;          /* "cancelled" */
};

/* The flags say which stages; at least one filter or --all must be there. An exit code. */
int bulk_run(struct cli *cli, const struct bulk *bulk);
/* One task (stage NULL: all of it); takes no filter. */
int bulk_one(struct cli *cli, const struct bulk *bulk, const char *id, const char *stage);
