#pragma once
/* A session's 16 bytes as the 32 hex digits that Redis' keys carry. */
#include "common/slice.h"

enum { SID_TEXT = 33 };

/* Answers text. bytes of another size give "". */
const char *sid_text(struct slice session, char text[SID_TEXT]);
