#pragma once
/* Hashes of bytes as S3 writes them: lower case hex. */
#include "common/slice.h"

#include <openssl/types.h>

enum { DIGEST_HEX = 65, DIGEST_MD5 = 16, DIGEST_MD5_HEX = 33, DIGEST_MD5_BASE64 = 25 };

/* One that is fed piece by piece; NULL when out of memory. digest_end() answers 0 or -ENOMEM; no
 * byte may be added behind it. */
typedef struct evp_md_ctx_st digest_t;
digest_t *digest_new(void); /* SHA-256 */
void digest_destroy(digest_t **self_p);
int digest_add(digest_t *self, struct slice bytes);
int digest_end(digest_t *self, char ret_hex[DIGEST_HEX]);

/* 0 or -ENOMEM. */
int digest_sha256(struct slice bytes, char ret_hex[DIGEST_HEX]);
int digest_md5(struct slice bytes, unsigned char ret_md5[DIGEST_MD5]);
/* size bytes as 2 * size digits and a NUL. */
void digest_hex(const unsigned char *bytes, size_t size, char *hex);
/* hex is size * 2 digits of either case: its bytes; false when it is not. */
bool digest_unhex(const char *hex, unsigned char *bytes, size_t size);
