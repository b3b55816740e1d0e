#pragma once
/* What a download is asked for: Range, If-None-Match, and the name it is to be saved by. Pure. */
#include "common/slice.h"

enum { RANGE_TEXT = 64, RANGE_NAME = 4096 };

/* "bytes=5-9", "bytes=5-" or "bytes=-5", written anew. False: several ranges, another unit, or
 * none: who asks so gets all of it. */
bool range_read(const char *header, char ret_text[RANGE_TEXT]);
/* Does the list of entity tags (or *) have this one? The etag without quotes; W/ makes no
 * difference. */
bool range_etag_listed(const char *header, const char *etag);
/* "attachment; filename=...; filename*=UTF-8''..." of the last segment of a path. */
void range_disposition(const char *path, char ret_text[RANGE_NAME]);
