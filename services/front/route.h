#pragma once
/* Every HTTP call: one row each. Dispatch, the OpenAPI document and the table in docs/http.md come
 * from these rows; a new call is a row and a handler. */
#include "services/front/request.h"

#include <stddef.h>

typedef void route_fn(request_t *request);

enum { ROUTE_ANSWERS_MAX = 8, ROUTE_QUERIES_MAX = 8 };

struct route {
    const char *method;  /* "GET" */
    const char *path;    /* "/v1/tasks/{id}/status"; {name} is one segment, and {name*}, which only
                          * stands last, one or several */
    const char *summary; /* one line */
    route_fn *handle;
    const char *body;      /* name of the schema that the body must be of (schemas.h); NULL: none */
    const char *body_type; /* its media type; NULL: application/json, if there is one */
    const char *answer;    /* schema of the answer; NULL: it is of answer_type */
    const char *answer_type;                /* NULL: text/event-stream; "": it has no body */
    int answers[ROUTE_ANSWERS_MAX];         /* further HTTP statuses it answers; ends with 0 */
    const char *queries[ROUTE_QUERIES_MAX]; /* query parameters it reads; ends with NULL */
    int success;                            /* HTTP status of the answer, when that is not 200 */
    bool streamed; /* handle is called before the body comes: request_take() */
};

/* Tables of rows; each ends with a row whose method is NULL. */
extern const struct route routes_service[]; /* health.c: /healthz /readyz /openapi.json */
extern const struct route routes_metrics[]; /* metrics.c: /metrics */
extern const struct route routes_tasks[];   /* tasks.c: /v1/tasks... */
extern const struct route routes_files[];   /* files.c: /v1/files... */

/* The n-th row of all tables, NULL after the last. */
const struct route *route_at(size_t n);

enum { ROUTE_PARTS_MAX = 4, ROUTE_PART_SIZE = 256, ROUTE_ALLOW_SIZE = 64 };
struct route_match {
    const struct route *route;
    size_t count;
    const char *names[ROUTE_PARTS_MAX];            /* borrowed from the row, not terminated: */
    size_t name_sizes[ROUTE_PARTS_MAX];            /* so long */
    char values[ROUTE_PARTS_MAX][ROUTE_PART_SIZE]; /* terminated */
    const char *rest; /* of {name*}, the last part, instead of its value: the end of the path;
                       * NULL: there is none */
};

/* Finds the row for a decoded path. A fixed segment goes before {name}: /v1/tasks/health is not a
 * task's. 0; 404: no such path; 405: not with this method, allow[] says which there are (comma
 * separated). */
int route_find(const char *method, const char *path, struct route_match *ret_match,
               char allow[ROUTE_ALLOW_SIZE]);
