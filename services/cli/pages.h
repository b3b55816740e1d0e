#pragma once
/* Stages as LIST tells them, page by page. */
#include "services/cli/listing.h"

/* Those that --state (or state, when it is not NULL) and the other filters name, appended to items
 * until these are limit. 0, or an exit code after saying what went wrong. */
int pages_read(const struct cli *cli, gantry_client_t *client, const char *state, int64_t limit,
               json_t *items);
/* As a table, or JSON. An exit code. */
int pages_print(const struct cli *cli, const json_t *items);
