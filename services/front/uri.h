#pragma once
/* A request's target taken apart: the path and the query, percent-decoded. Pure. */
#include <stddef.h>

enum { URI_QUERIES_MAX = 16 };

struct uri {
    char *text; /* owns what the others point into */
    const char *path;
    size_t count;
    struct {
        const char *name;
        const char *value; /* "" when there was none */
    } queries[URI_QUERIES_MAX];
};

/* target: "/path?query", or the same with http://host before it. 0; STATUS_INVALID: *ret_why says
 * in words what is wrong with it (and nothing is owned); -ENOMEM. */
int uri_parse(const char *target, struct uri *ret_uri, const char **ret_why);
void uri_clear(struct uri *self);
/* The value of a query parameter, NULL when it is not there. */
const char *uri_query(const struct uri *self, const char *name);
