#pragma once
/* gantry-node: a broker and a state service in one process, on one loop. What they say to each
 * other goes over an inproc:// socket, by the same messages as between processes; neither knows. */
#include "common/program.h"

extern const struct program_row node_program;
