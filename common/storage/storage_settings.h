#pragma once
/* What the settings say of the shared disk, looked at when a program starts: what cannot be is
 * logged, with what to do. Both answer 0 or -EINVAL. */
#include "common/settings.h"

#include <stdbool.h>

/* storage.low_bytes is not above storage.high_bytes. */
int storage_check_marks(const struct settings *settings);
/* storage.root, where it is there, is a folder that may be written; makes: where it is not, it can
 * be made. A disk that is not mounted yet, or does not answer, is no mistake of the settings. */
int storage_check_root(const struct settings *settings, bool makes);
