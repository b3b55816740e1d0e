#pragma once
/* JSON schemas (2020-12) of bodies and answers, by the names that the routes' rows say. */
#include <jansson.h>

struct schema {
    const char *name;
    const char *text; /* JSON */
};

/* Ends with a row whose name is NULL. */
extern const struct schema schemas[];

/* The parsed schema, NULL when there is none of that name. */
json_t *schema_load(const char *name);
