#pragma once
/* What became of a stage's callback. */
#include "services/cli/cli.h"

/* The address, and how its delivery stands: a record of its own, asked for here. Nothing for a
 * stage without one. */
void delivery_print(const struct cli *cli, gantry_client_t *client,
                    const struct gantry_stage *stage);
