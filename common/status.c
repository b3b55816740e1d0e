#include "common/status.h"

#include <stdbool.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
    int code;
    int http;
} rows[] = {
#define STATUS_ROW(name, code, http, text) { #name, text, code, http },
    STATUSES(STATUS_ROW)
#undef STATUS_ROW
};

enum { ROWS = sizeof rows / sizeof *rows };

/* Codes are dense and in order, which the unit test holds true. */
static bool known(int code)
{
    return code >= 0 && code < ROWS;
}

const char *status_name(int code)
{
    return known(code) ? rows[code].name : "UNKNOWN";
}

const char *status_text(int code)
{
    return known(code) ? rows[code].text : "unknown status";
}

int status_http(int code)
{
    return known(code) ? rows[code].http : 500;
}

int status_by_name(const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].code;
    return -1;
}
