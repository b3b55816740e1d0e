#pragma once
/* gantry-worker: runs the nodes of its services, a few at once. */
#include "common/program.h"

extern const struct program_row worker_program;
