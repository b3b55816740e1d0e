#pragma once
/* The JSON that strangers send: read strictly. Pure. */
#include "common/slice.h"

#include <jansson.h>

enum { JSON_BODY_DEPTH = 32, JSON_BODY_ERROR = 256 };

/* text must be one object in UTF-8, no key twice, nothing nested deeper than JSON_BODY_DEPTH. 0;
 * STATUS_INVALID with a sentence in error; or -ENOMEM. */
int json_body_read(struct slice text, json_t **ret_object, char error[JSON_BODY_ERROR]);
