#pragma once
/* What the settings say of the shared disk, looked at when a program starts: what cannot be is
 * logged, with what to do. Both answer 0 or -EINVAL. */
#include "common/settings.h"

#include <stdbool.h>

/* storage.low_bytes is not above storage.high_bytes. */
int storage_check_marks(const struct settings *settings);
/* storage.root, where it is there, is a folder. It is only warned of one that may not be written
 * or, makes, that is not there and could not be made: that may be the empty place of a disk that is
 * mounted later, and a state service serves queues without it. */
int storage_check_root(const struct settings *settings, bool makes);
