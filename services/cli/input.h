#pragma once
/* A task's inputs as a person gives them: --input, then KEY=VALUE words. */
#include "proto/json.h"
#include "services/cli/cli.h"

/* --priority and --limit: 0, or an exit code after saying what is wrong. */
int input_check(const struct cli *cli);
/* Packs them into packed (initialised by the caller); words are those after the node's name. 0, or
 * an exit code after saying what is wrong. */
int input_pack(const struct cli *cli, gantry_client_t *client, const char *node, char *const *words,
               int count, msgpack_sbuffer *packed);
