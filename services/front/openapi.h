#pragma once
/* What can be called, as OpenAPI 3.1: made from the routes' rows and the schemas. */
#include <jansson.h>

/* The caller's; NULL when out of memory. */
json_t *openapi_document(void);
