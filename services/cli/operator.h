#pragma once
/* A broker's status socket, which one broker alone answers at: no HELLO, no list. */
#include "proto/message.h"
#include "services/cli/cli.h"

/* Asks a verb at --status; only its status counts. 0, or an exit code after saying why not. */
int operator_ask(const struct cli *cli, uint32_t verb, const struct message_layout *layout,
                 const void *m);
