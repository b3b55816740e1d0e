#pragma once
/* The one table of answers that a peer, Redis or a user can cause. It goes to the wire as it is.
 *
 * Results everywhere: 0 done; positive: an enum status, somebody else's doing; negative: -errno,
 * ours or the machine's. Columns: name, code on the wire, HTTP status, text. */
#define STATUSES(S)                                          \
    S(OK, 0, 200, "ok")                                      \
    S(INVALID, 1, 400, "a field is wrong")                   \
    S(NOT_FOUND, 2, 404, "no such thing")                    \
    S(CONFLICT, 3, 409, "not possible in its present state") \
    S(MALFORMED, 4, 400, "the message cannot be read")       \
    S(TOO_LARGE, 5, 413, "larger than the limit")            \
    S(UNSUPPORTED, 6, 501, "not offered here")               \
    S(BUSY, 7, 503, "a limit is met, try later")             \
    S(UNAVAILABLE, 8, 503, "the store is away, try later")   \
    S(STALE, 9, 409, "somebody else holds it by now")        \
    S(EMPTY, 10, 204, "nothing waits")                       \
    S(TIMEOUT, 11, 504, "not within the time given")         \
    S(HELLO_FIRST, 12, 401, "say HELLO first")               \
    S(DENIED, 13, 403, "not allowed")                        \
    S(FAILED, 14, 500, "the engine failed")                  \
    S(INTERNAL, 15, 500, "our own mistake, see the log")

enum status {
#define STATUS_ROW(name, code, http, text) STATUS_##name = (code),
    STATUSES(STATUS_ROW)
#undef STATUS_ROW
};

/* "NOT_FOUND" for 2; "UNKNOWN" for a code that has no row. */
const char *status_name(int code);
/* "no such thing" for 2; "unknown status" for a code that has no row. */
const char *status_text(int code);
/* 404 for 2; 500 for a code that has no row. */
int status_http(int code);
/* The code of a name such as "NOT_FOUND", or -1. */
int status_by_name(const char *name);
