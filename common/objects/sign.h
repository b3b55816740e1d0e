#pragma once
/* Signature Version 4 as S3 wants it: the path is encoded once, the payload told by its hash. Knows
 * no clock: the caller tells the date. */
#include <stddef.h>
#include <stdint.h>

enum {
    SIGN_FIELDS_MAX = 32, /* of a query, or of the headers */
    SIGN_DATE = 17,       /* "20130524T000000Z" */
    SIGN_SCOPE = 160,
    SIGN_HEADERS = 1024,
    SIGN_HEX = 65,
    SIGN_AUTHORIZATION = 2048,
    SIGN_KEY_MAX = 256, /* of access key and secret key */
    SIGN_REGION_MAX = 64
};

struct sign_field {
    const char *name, *value;
};

struct sign_keys {
    const char *access, *secret, *region; /* within their bounds */
};

struct sign_request {
    const char *method;
    const char *path;               /* as it is sent: percent-encoded */
    const struct sign_field *query; /* as they are sent: percent-encoded; in any order */
    size_t query_count;
    const struct sign_field *headers; /* names in lower case, each once, any order; host is one */
    size_t header_count;
    const char *payload; /* the body's SHA-256 in hex, or "UNSIGNED-PAYLOAD" */
};

void sign_date(int64_t wall_ms, char ret_date[SIGN_DATE]);
/* "20130524/us-east-1/s3/aws4_request" */
void sign_scope(const struct sign_keys *keys, const char *date, char ret_scope[SIGN_SCOPE]);
/* "host;x-amz-date" */
void sign_headers(const struct sign_request *request, char ret_names[SIGN_HEADERS]);
/* 0 or -ENOMEM. */
int sign_signature(const struct sign_keys *keys, const struct sign_request *request,
                   const char *date, char ret_hex[SIGN_HEX]);
/* The value of the header Authorization. 0 or -ENOMEM. */
int sign_authorization(const struct sign_keys *keys, const struct sign_request *request,
                       const char *date, char ret_value[SIGN_AUTHORIZATION]);
