#pragma once
/* Waits for stages to end and shows how far they are. */
#include "services/cli/cli.h"

/* stages: those to wait for; none: every stage of the task. --timeout bounds the wait (not given:
 * for ever). The record is as it is afterwards, the caller's to destroy. 0, or an exit code after
 * saying why. */
int follow(const struct cli *cli, gantry_client_t *client, const char *id, char *const *stages,
           int count, gantry_record_t **ret_record);
