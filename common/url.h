#pragma once
/* Addresses that users name. Says only whether it reads as one; where it leads is looked at when it
 * is connected to. */
#include "common/slice.h"

#include <stdbool.h>

enum { URL_MAX = 2048 };

/* http:// or https:// (any case), a host, at most URL_MAX bytes, all of them printable ASCII
 * without blanks, no user name or password. */
bool url_valid(struct slice url);
#define URL_RULE                                                                            \
    "must be http:// or https://, a host, at most 2048 printable ASCII characters, and no " \
    "password"
