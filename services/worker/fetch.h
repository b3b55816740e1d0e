#pragma once
/* A file of a foreign http(s) address, for engines; blocking. Every address is judged when it is
 * connected to, after DNS, by the rule of callbacks; redirects are followed by hand, each target
 * judged again. https is verified, no proxy, cookie or password is sent. */
#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { FETCH_MESSAGE = 512, FETCH_REDIRECTS_MAX = 3 };

struct fetch_row {
    const char *url;
    const char *path;   /* beneath the current folder, through no link; must not exist */
    const char *allow;  /* callback.allow, see address_listed() */
    bool owned;         /* by a user: private addresses are not for them */
    uint64_t bytes_max; /* unpack.bytes_max */
    int64_t timeout_ms; /* objects.timeout_ms: so long without a byte and a try has failed */
    uint32_t tries;     /* objects.tries: what is broken off goes on where it was, if it is still
                           the same */
    void (*moved)(void *arg, uint64_t done, uint64_t total); /* total 0: unknown; may be NULL */
    bool (*stop)(void *arg);                                 /* may be NULL */
    void *arg;
};
struct fetched {
    uint64_t bytes;
    char sha256[65];
};

/* 0; STATUS_INVALID (no such URL); STATUS_DENIED (an address that it may not go to, 401, 403,
 * a certificate that is not good); STATUS_NOT_FOUND (404, 410); STATUS_TOO_LARGE; STATUS_MALFORMED
 * (an answer that is none, or too many redirects); STATUS_UNAVAILABLE (unreachable, 5xx, cut off:
 * all tries are used up); -ECANCELED; -errno of our own. ret_message: a sentence, of all but 0.
 * On failure nothing of it is left. */
int fetch(const struct fetch_row *row, struct fetched *ret_fetched,
          char ret_message[FETCH_MESSAGE]);
