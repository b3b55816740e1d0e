#pragma once
/* The state service as a program, or as a part of one. */
#include "common/program.h"

extern const struct program_row state_program;
