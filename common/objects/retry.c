#include "common/objects/retry.h"

#include "common/status.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { FIRST_MS = 400, LAST_MS = 20000, WISH_MAX_S = 60 };

static const struct {
    const char *code;
    struct verdict verdict;
} codes[] = {
    { "InternalError", { STATUS_UNAVAILABLE, true } },
    { "ServiceUnavailable", { STATUS_UNAVAILABLE, true } },
    { "SlowDown", { STATUS_UNAVAILABLE, true } },
    { "Throttling", { STATUS_UNAVAILABLE, true } },
    { "RequestTimeout", { STATUS_UNAVAILABLE, true } },
    { "NoSuchUpload", { STATUS_NOT_FOUND, false } },
    { "NoSuchKey", { STATUS_NOT_FOUND, false } },
    { "NoSuchBucket", { STATUS_NOT_FOUND, false } },
    { "AccessDenied", { STATUS_DENIED, false } },
    { "EntityTooLarge", { STATUS_TOO_LARGE, false } },
};

static const struct verdict *by_code(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0)
            return &codes[i].verdict;
    return NULL;
}

static struct verdict by_http(long http)
{
    switch (http) {
    case 401:
    case 403:
        return (struct verdict){ STATUS_DENIED, false };
    case 404:
        return (struct verdict){ STATUS_NOT_FOUND, false };
    case 409:
    case 412:
        return (struct verdict){ STATUS_CONFLICT, false };
    case 413:
        return (struct verdict){ STATUS_TOO_LARGE, false };
    case 429:
        return (struct verdict){ STATUS_UNAVAILABLE, true };
    case 501:
        return (struct verdict){ STATUS_UNSUPPORTED, false };
    default:
        break;
    }
    if (http >= 500 && http < 600)
        return (struct verdict){ STATUS_UNAVAILABLE, true };
    return (struct verdict){ http >= 300 && http < 500 ? STATUS_INVALID : STATUS_MALFORMED, false };
}

struct verdict retry_answer(long http, const char *code)
{
    if (http >= 200 && http < 300)
        return (struct verdict){ 0, false };
    const struct verdict *known = http >= 400 ? by_code(code) : NULL;
    return known ? *known : by_http(http);
}

struct verdict retry_late(const char *code)
{
    const struct verdict *known = by_code(code);
    return known ? *known : (struct verdict){ STATUS_INVALID, false };
}

struct verdict retry_transfer(CURLcode code)
{
    switch ((int)code) { /* the rest of that list is as good as unknown */
    case CURLE_OK:
        return (struct verdict){ 0, false };
    case CURLE_OUT_OF_MEMORY:
        return (struct verdict){ -ENOMEM, false };
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, that is: anything */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return (struct verdict){ STATUS_MALFORMED, false };
    case CURLE_PEER_FAILED_VERIFICATION: /* trying again makes no certificate good */
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
        return (struct verdict){ STATUS_UNAVAILABLE, false };
    default:
        return (struct verdict){ STATUS_UNAVAILABLE, true };
    }
}

int64_t retry_wait_ms(uint32_t tried, int64_t wish_s, uint32_t random)
{
    const uint32_t doubled = tried > 1 ? tried - 1 : 0;
    int64_t wait = doubled < 6 ? (int64_t)FIRST_MS << doubled : LAST_MS;
    if (wait > LAST_MS)
        wait = LAST_MS;
    wait = wait / 2 + (int64_t)(random % (uint32_t)(wait / 2 + 1));
    if (wish_s > WISH_MAX_S)
        wish_s = WISH_MAX_S;
    return wish_s * 1000 > wait ? wish_s * 1000 : wait;
}
