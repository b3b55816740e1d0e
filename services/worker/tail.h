#pragma once
/* The last words of a stream: a ring of its last 4 KiB. */
#include "common/slice.h"

enum { TAIL_BYTES = 4096 };

struct tail {
    char bytes[TAIL_BYTES];
    size_t at; /* where the next byte goes */
    bool full; /* older bytes were lost */
};

void tail_add(struct tail *self, struct slice bytes);
/* The last words in order, NUL-ended, NULs within as '?'; begins with a whole line when bytes were
 * lost. */
void tail_text(const struct tail *self, char text[TAIL_BYTES + 1]);
