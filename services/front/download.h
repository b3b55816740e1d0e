#pragma once
/* Files on their way from the store to a client: no more than DOWNLOAD_ROOM bytes of each are held.
 */
#include "services/front/files.h"

enum { DOWNLOAD_ROOM = 512 << 10 };

/* The request of a GET or HEAD of an object; it is counted (files_enter) already. */
void download_begin(request_t *request, const char *bucket, const char *path);
/* libcurl says so. */
void download_ended(void *arg, CURLcode code);
/* All end at once. */
void downloads_stop(struct files *files);
