#include "services/front/route.h"

#include <stdio.h>
#include <string.h>

#include "common/slice.h"

static const struct route *const tables[] = { routes_service, routes_metrics, routes_tasks,
                                              routes_files, NULL };

const struct route *route_at(size_t n)
{
    for (const struct route *const *table = tables; *table; table++)
        for (const struct route *row = *table; row->method; row++)
            if (n-- == 0)
                return row;
    return NULL;
}

/* The segment behind the slash at *at, which moves to the next slash or the end. */
static struct slice segment(const char **at)
{
    const char *start = *at + 1;
    const char *end = strchrnul(start, '/');
    *at = end;
    return slice_make(start, (size_t)(end - start));
}

static bool is_part(struct slice fixed)
{
    const char *text = fixed.data;
    return fixed.size > 2 && text[0] == '{' && text[fixed.size - 1] == '}';
}

/* {name*}: all that is left of the path, slashes too. */
static bool take_rest(struct route_match *match, struct slice name, const char *rest)
{
    const size_t size = strlen(rest);
    const size_t n = match->count;
    if (size == 0 || n == ROUTE_PARTS_MAX)
        return false;
    match->names[n] = (const char *)name.data + 1;
    match->name_sizes[n] = name.size - 3;
    match->rest = rest;
    match->count++;
    return true;
}

static bool take_part(struct route_match *match, struct slice name, struct slice value)
{
    const size_t n = match->count;
    if (value.size == 0 || n == ROUTE_PARTS_MAX ||
        !slice_copy(value, match->values[n], sizeof match->values[n]))
        return false;
    match->names[n] = (const char *)name.data + 1;
    match->name_sizes[n] = name.size - 2;
    match->count++;
    return true;
}

/* Fills the parts. *ret_fixed: which segments are fixed, the first one the heaviest. */
static bool fits(const struct route *row, const char *path, struct route_match *match,
                 unsigned *ret_fixed)
{
    const char *pattern = row->path;
    unsigned fixed = 0;
    match->count = 0;
    match->rest = NULL;
    match->route = row;
    while (*pattern == '/' && *path == '/') {
        const struct slice wanted = segment(&pattern);
        const bool part = is_part(wanted);
        if (part && ((const char *)wanted.data)[wanted.size - 2] == '*') {
            *ret_fixed = fixed << 1;
            return take_rest(match, wanted, path + 1);
        }
        const struct slice given = segment(&path);
        if (part ? !take_part(match, wanted, given) : !slice_equal(wanted, given))
            return false;
        fixed = fixed << 1 | (part ? 0 : 1);
    }
    *ret_fixed = fixed;
    return !*pattern && !*path;
}

static void allow_method(char allow[ROUTE_ALLOW_SIZE], const char *method)
{
    const size_t used = strlen(allow);
    if (!strstr(allow, method))
        (void)snprintf(allow + used, ROUTE_ALLOW_SIZE - used, "%s%s", used ? ", " : "", method);
}

/* HEAD is asked where GET is answered; the server leaves out the body. */
static bool answers(const struct route *row, const char *method)
{
    return strcmp(row->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(row->method, "GET") == 0);
}

int route_find(const char *method, const char *path, struct route_match *ret_match,
               char allow[ROUTE_ALLOW_SIZE])
{
    struct route_match match;
    unsigned best = 0;
    int http = 404;
    allow[0] = '\0';
    size_t n = 0;
    for (const struct route *row = route_at(n); row; row = route_at(++n)) {
        unsigned fixed = 0;
        if (!fits(row, path, &match, &fixed))
            continue;
        allow_method(allow, row->method);
        if (strcmp(row->method, "GET") == 0)
            allow_method(allow, "HEAD");
        if (http == 404)
            http = 405;
        if (answers(row, method) && (http != 0 || fixed > best)) {
            *ret_match = match;
            best = fixed;
            http = 0;
        }
    }
    return http;
}
