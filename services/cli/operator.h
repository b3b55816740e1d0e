#pragma once
/* A broker's status socket, which one broker alone answers at: no HELLO, no list. */
#include "common/slice.h"
#include "services/cli/cli.h"

/* Asks a verb at --status; only its status counts. 0, or an exit code after saying why not. */
int operator_ask(const struct cli *cli, uint32_t verb, struct slice body);
