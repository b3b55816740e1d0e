#include "common/url.h"

#include <string.h>
#include <strings.h>

static size_t scheme_size(struct slice url)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t size = strlen(schemes[i]);
        if (url.size > size && strncasecmp(url.data, schemes[i], size) == 0)
            return size;
    }
    return 0;
}

bool url_valid(struct slice url)
{
    const size_t scheme = scheme_size(url);
    const char *text = url.data;
    if (scheme == 0 || url.size > URL_MAX)
        return false;
    for (size_t i = 0; i < url.size; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '\\')
            return false;
    size_t host = 0;
    while (scheme + host < url.size && !strchr("/?#", text[scheme + host])) {
        if (text[scheme + host] == '@')
            return false;
        host++;
    }
    return host > 0 && text[scheme] != ':';
}
