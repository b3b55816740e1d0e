#pragma once
/* Which object a text names, the store's own address given: see objects_locate(). */
#include "common/objects/name.h"

int locate(const struct endpoint *endpoint, const char *bucket, struct slice text,
           char ret_bucket[OBJECTS_BUCKET_MAX + 1], char ret_key[OBJECTS_KEY_MAX + 1]);
