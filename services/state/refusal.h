#pragma once
/* Why a message or an item of one was refused, until it is told. */
#include "common/slice.h"

enum { REFUSAL_MESSAGE_MAX = 320, REFUSAL_FIELD_MAX = 160 };

struct refusal {
    int status;
    const char *scope; /* static, or NULL */
    uint64_t limit, current;
    uint32_t retry_after_ms;
    char message[REFUSAL_MESSAGE_MAX]; /* UTF-8, "" for none */
    char field[REFUSAL_FIELD_MAX];
};

/* Fill a refusal, and answer its status. field may be NULL; both texts are cut, at whole
 * characters. */
int refusal_say(struct refusal *self, int status, const char *field, const char *message, ...)
    __attribute__((format(printf, 4, 5)));
/* field is "input." and the name. */
int refusal_input(struct refusal *self, struct slice name, const char *message, ...)
    __attribute__((format(printf, 3, 4)));
