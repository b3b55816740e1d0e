#pragma once
/* Numbered updates, as SUBSCRIBE tells them. */
#include "services/cli/listing.h"

/* The next answer after since (0: what is now), of one task when id is not NULL, waited for up to
 * wait_ms. The value is the caller's. 0, or an exit code after saying what went wrong. */
int events_ask(const struct cli *cli, gantry_client_t *client, uint64_t since, const char *id,
               int64_t wait_ms, json_t **ret_updates);
uint64_t events_seq(const json_t *updates);
/* A line each; says so when some are missing. */
int events_print(const struct cli *cli, const json_t *updates);
