#include "services/front/openapi.h"

#include "services/front/route.h"
#include "services/front/schemas.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static json_t *operation_of(json_t *document, const struct route *row)
{
    char text[128];
    const char *star = strchrnul(row->path, '*'), *name;
    (void)snprintf(text, sizeof text, "%.*s%s", (int)(star - row->path), row->path,
                   *star ? star + 1 : "");
    json_t *path = json_object_get(json_object_get(document, "paths"), text);
    json_t *operation;
    json_object_foreach (path, name, operation)
        if (strcasecmp(name, row->method) == 0)
            return operation;
    return NULL;
}

TEST(every_row_is_in_the_document)
{
    UNUSED;
    json_t *document = openapi_document();
    CHECK(document);
    CHECK_TEXT(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    for (size_t n = 0; route_at(n); n++) {
        json_t *operation = operation_of(document, route_at(n));
        CHECK(operation);
        CHECK_TEXT(json_string_value(json_object_get(operation, "summary")), route_at(n)->summary);
        CHECK((json_object_get(operation, "requestBody") != NULL) ==
              (route_at(n)->body || route_at(n)->body_type));
    }
    json_decref(document);
}

static void check_known(const char *schema)
{
    json_t *loaded = schema ? schema_load(schema) : NULL;
    if (schema && !loaded)
        fail_msg("no schema, or no JSON: %s", schema);
    json_decref(loaded);
}

TEST(every_schema_that_is_named_is_there)
{
    UNUSED;
    for (size_t n = 0; route_at(n); n++) {
        check_known(route_at(n)->body);
        check_known(route_at(n)->answer);
    }
    for (const struct schema *row = schemas; row->name; row++)
        check_known(row->name);
    CHECK(!schema_load("none"));
}

/* "#/components/schemas/NAME" wherever it stands. */
TEST(every_reference_leads_to_a_schema)
{
    UNUSED;
    static const char prefix[] = "\"#/components/schemas/";
    json_t *document = openapi_document();
    char *text = json_dumps(document, JSON_COMPACT), name[128];
    size_t count = 0;
    for (const char *at = strstr(text, prefix); at; at = strstr(at + 1, prefix)) {
        const char *start = at + sizeof prefix - 1;
        CHECK(slice_copy(slice_make(start, strcspn(start, "\"")), name, sizeof name));
        check_known(name);
        count++;
    }
    CHECK(count > 10);
    free(text);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(every_row_is_in_the_document),
        HOLDS(every_schema_that_is_named_is_there),
        HOLDS(every_reference_leads_to_a_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
