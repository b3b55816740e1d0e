#pragma once
/* The broker as a program, or as a part of one. */
#include "common/program.h"

extern const struct program_row broker_row;

/* State services may connect to this endpoint too, without the checks that a setting's endpoint
 * meets: inproc://NAME for one in the same process. self is what start made. 0, or -errno. */
int broker_let_in(void *self, const char *endpoint);
