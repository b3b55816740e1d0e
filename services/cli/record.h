#pragma once
/* A task's record as people and scripts read it. */
#include "services/cli/cli.h"
#include "proto/json.h"

/* The record on standard output: --json, or a table of the stages, then outputs and errors of each.
 * 0, or an exit code after saying what went wrong. */
int record_print(const struct cli *cli, const gantry_record_t *record);

/* CLI_FAILED when one of these stages (none given: any of the record) failed or was cancelled, else
 * CLI_DONE. */
int record_exit(const gantry_record_t *record, char *const *stages, int count);
