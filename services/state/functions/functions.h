#pragma once
/* The text of the Redis Functions library, for FUNCTION LOAD. Made from the .lua files at build
 * time. FUNCTIONS_VERSION (major * 1000 + minor, as FCALL gantry_version answers) is a compile
 * definition that comes with the target gantry_functions: its one place is 00_library.lua. */
#include <stddef.h>

extern const char functions_text[]; /* ends with a 0 that functions_size does not count */
extern const size_t functions_size;
