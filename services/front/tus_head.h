#pragma once
/* What stands in the headers of tus 1.0 (resumable uploads). Pure. */
#include "common/slice.h"

enum { TUS_VALUE_MAX = 1024, TUS_DIGEST_MAX = 64, TUS_ALGORITHM_MAX = 16 };

/* A whole number of at most 18 digits, and nothing else. */
bool tus_number_read(const char *text, uint64_t *ret_number);

/* Upload-Metadata: "key base64,key base64,key". 0: value (terminated, UTF-8, without control
 * characters) of key, "" when it is not there; STATUS_INVALID: it is no such list, or the value
 * is too long or no text. */
int tus_metadata_read(const char *header, const char *key, char ret_value[TUS_VALUE_MAX + 1]);

/* Upload-Checksum: "sha256 base64". */
struct tus_checksum {
    char algorithm[TUS_ALGORITHM_MAX]; /* "sha1", "sha256", "md5" */
    uint8_t digest[TUS_DIGEST_MAX];
    size_t size;
};
/* 0; STATUS_UNSUPPORTED: another algorithm; STATUS_INVALID. */
int tus_checksum_read(const char *header, struct tus_checksum *ret_checksum);
