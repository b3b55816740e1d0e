#pragma once
/* The object store that the settings name. */
#include "common/objects/objects.h"
#include "common/settings.h"

/* 0; STATUS_UNSUPPORTED: objects.endpoint is empty; STATUS_INVALID: settings that cannot be
 * (ret_why says which); -ENOMEM. */
int objects_of_settings(const struct settings *settings, objects_t **ret_objects,
                        char ret_why[256]);
/* For who starts: no store, or one that can be, else STATUS_INVALID or -ENOMEM, and it was logged.
 */
int objects_settings_check(const struct settings *settings);

/* Tasks and HTTP may name objects.bucket and those of objects.buckets, no others. */
bool objects_bucket_allowed(const struct settings *settings, const char *bucket);
