#pragma once
/* Open files. */
#include "common/slice.h"

/* Writes all of it, whatever interrupts: 0 or -errno, and then some of it may be written. */
int file_write(int file, struct slice bytes);
