#pragma once
/* The inside of fetch.h, for its own files. */
#include "services/worker/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/types.h>

#include "common/url.h"
#include "services/worker/address.h"

enum {
    FETCH_VALIDATOR_MAX = 256,
    FETCH_REDIRECTED = -EAGAIN /* of one request: url is another now */
};

struct fetching {
    const struct fetch_row *row;
    char *message;
    EVP_MD_CTX *digest;
    int file;
    uint64_t got;   /* bytes in it */
    uint64_t total; /* that it shall have; 0: unknown */
    /* ETag or Last-Modified of what lies in the file; "": it cannot be gone on with. */
    char validator[FETCH_VALIDATOR_MAX];

    /* The request under way. */
    CURL *easy;
    char url[URL_MAX + 1];
    char *host;
    bool opened;               /* there was an address that it may go to */
    char refusal[ADDRESS_WHY]; /* of the address refused last */
    bool judged;               /* the head of the answer is */
    int result;                /* why we cut it off, or what its head came to; 0: go on */
    size_t head;               /* bytes of heads */
    int64_t moved_ms;          /* when it began, or a byte came */
    char error[CURL_ERROR_SIZE];
};

int fetch_says(struct fetching *self, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Both answer as fetch() does, or FETCH_REDIRECTED. fetch_judge(): the head of an answer, before
 * its first byte is taken. */
int fetch_begin_anew(struct fetching *self);
int fetch_judge(struct fetching *self);
int fetch_take(struct fetching *self, const char *bytes, size_t size);
