#pragma once
/* A task's record as people and scripts read it. */
#include "proto/json.h"
#include "services/cli/cli.h"

/* The record on standard output: --json, or a table of the stages, then outputs and errors of each,
 * and how the deliveries of its callbacks stand, for which client is asked. 0, or an exit code
 * after saying what went wrong. */
int record_print(const struct cli *cli, gantry_client_t *client, const gantry_record_t *record);

/* CLI_FAILED when one of these stages (none given: any of the record) failed or was cancelled, else
 * CLI_DONE. */
int record_exit(const gantry_record_t *record, char *const *stages, int count);
