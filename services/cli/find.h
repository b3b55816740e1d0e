#pragma once
/* Which system a verb speaks to: --broker, --data, GANTRY_BROKER, GANTRY_DATA, ./gantry-data, in
 * this order. */
#include "services/cli/cli.h"

enum { FIND_TEXT = 4096 };

/* Endpoints of the brokers' clients' sockets, comma separated; cli->where names the system for
 * messages. May leave the current folder for the data folder, whose sockets' names can be relative.
 * 0, or an exit code after saying what is missing: no data folder, or nobody listening there. */
int find_brokers(struct cli *cli, char brokers[FIND_TEXT]);
