#include "services/front/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/status.h"
#include "common/utf8.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of text at *at, decoded; -1 when an escape is none. */
static int decoded(const char **at)
{
    const char *c = *at;
    *at = c + 1;
    if (*c != '%')
        return (unsigned char)*c;
    const int high = hex(c[1]), low = high < 0 ? -1 : hex(c[2]);
    *at = c + 3;
    return low < 0 ? -1 : high << 4 | low;
}

/* In place. NULL, or what is wrong. */
static const char *decode(char *text, bool plus_is_blank)
{
    char *to = text;
    const char *from = text;
    while (*from) {
        if (*from == '+' && plus_is_blank) {
            *to++ = ' ';
            from++;
            continue;
        }
        const int c = decoded(&from);
        if (c < 0)
            return "the address has a % that is no escape";
        if (c < ' ' || c == 0x7f)
            return "the address has a control character";
        *to++ = (char)c;
    }
    *to = '\0';
    return utf8_is(slice_of(text)) ? NULL : "the address is not UTF-8";
}

/* What stands behind http://host, where that is given. */
static const char *without_host(const char *target)
{
    const size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                          : strncasecmp(target, "https://", 8) == 0 ? 8
                                                                    : 0;
    if (!scheme)
        return target;
    const char *slash = target + scheme + strcspn(target + scheme, "/?#");
    return *slash ? slash : "/";
}

static const char *take_query(struct uri *self, char *pair)
{
    char *value = strchr(pair, '=');
    if (value)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    const char *wrong = decode(pair, true);
    if (!wrong)
        wrong = decode(value, true);
    if (wrong)
        return wrong;
    if (uri_query(self, pair))
        return "a query parameter is given twice";
    if (self->count == URI_QUERIES_MAX)
        return "there are too many query parameters";
    self->queries[self->count].name = pair;
    self->queries[self->count++].value = value;
    return NULL;
}

static const char *take_queries(struct uri *self, char *query)
{
    const char *wrong = NULL;
    char *save = NULL;
    for (char *pair = strtok_r(query, "&", &save); pair && !wrong;
         pair = strtok_r(NULL, "&", &save))
        wrong = take_query(self, pair);
    return wrong;
}

static const char *take(struct uri *self)
{
    char *query = strchr(self->text, '?');
    if (query)
        *query++ = '\0';
    self->path = self->text;
    const char *wrong =
        self->text[0] == '/' ? decode(self->text, false) : "the address does not begin with /";
    return wrong || !query ? wrong : take_queries(self, query);
}

int uri_parse(const char *target, struct uri *ret_uri, const char **ret_why)
{
    struct uri uri = { .text = strdup(without_host(target)) };
    if (!uri.text)
        return -ENOMEM;
    const char *wrong =
        target[strcspn(target, "# \t")] ? "the address has a # or a blank" : take(&uri);
    if (wrong) {
        uri_clear(&uri);
        *ret_why = wrong;
        return STATUS_INVALID;
    }
    *ret_uri = uri;
    return 0;
}

void uri_clear(struct uri *self)
{
    free(self->text);
    *self = (struct uri){ 0 };
}

const char *uri_query(const struct uri *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->queries[i].name, name) == 0)
            return self->queries[i].value;
    return NULL;
}
