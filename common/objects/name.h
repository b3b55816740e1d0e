#pragma once
/* How objects are named: keys, buckets and endpoints as texts, and their percent-encoding. */
#include "common/objects/objects.h"

enum { ENDPOINT_MAX = 300, NAME_PATH_MAX = OBJECTS_BUCKET_MAX + 3 * OBJECTS_KEY_MAX + 3 };

struct endpoint {
    char text[ENDPOINT_MAX]; /* "https://host:port", no slash behind it, scheme and host in lower
                                case, without a port that goes without saying */
    const char *host;        /* within text: as the header has it */
};

/* "http[s]://host[:port]" with or without one slash behind it. */
bool endpoint_read(struct slice text, struct endpoint *ret_endpoint);

/* All but A-Z a-z 0-9 - . _ ~ become %XX; slash: as they are. Writes at most size bytes with the
 * NUL and answers the length it has or would have. */
size_t name_encode(struct slice plain, bool slash, char *ret_text, size_t size);
/* %XX become bytes, plus: + a blank too. text shrinks in place; false: a NUL or half a % is in. */
bool name_decode(char *text, bool plus);
/* "/", "/bucket" or "/bucket/key", encoded; bucket and key may be NULL. */
void name_path(const char *bucket, const char *key, char ret_path[NAME_PATH_MAX]);
