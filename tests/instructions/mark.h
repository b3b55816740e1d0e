#pragma once
/* What an ECHO begins with that is for mark.c; the name of a phase or "zero" follows. */
#define MARK "gantry-count:"
