#include "services/front/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "services/front/route.h"
#include "services/front/schemas.h"

enum { NAME_SIZE = 128 };

static json_t *reference(const char *schema)
{
    char text[NAME_SIZE];
    (void)snprintf(text, sizeof text, "#/components/schemas/%s", schema);
    return json_pack("{s:s}", "$ref", text);
}

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static json_t *refusal(int http)
{
    json_t *response = json_pack("{s:s, s:o}", "description", "refused: detail says why", "content",
                                 content("application/json", reference("Error")));
    if (http == 503 || http == 429)
        (void)json_object_set_new(response, "headers",
                                  json_pack("{s:{s:s, s:{s:s}}}", "Retry-After", "description",
                                            "seconds", "schema", "type", "integer"));
    return response;
}

/* What is answered when all is well. */
static json_t *success(const struct route *row)
{
    json_t *response = json_pack("{s:s}", "description", row->summary);
    const char *type = row->answer        ? "application/json"
                       : row->answer_type ? row->answer_type
                                          : "text/event-stream";
    if (*type)
        (void)json_object_set_new(response, "content",
                                  content(type, row->answer
                                                    ? reference(row->answer)
                                                    : json_pack("{s:s}", "type", "string")));
    return response;
}

static json_t *responses(const struct route *row)
{
    json_t *all = json_object();
    char number[16];
    (void)snprintf(number, sizeof number, "%d", row->success ? row->success : 200);
    (void)json_object_set_new(all, number, success(row));
    for (size_t i = 0; i < ROUTE_ANSWERS_MAX && row->answers[i]; i++) {
        (void)snprintf(number, sizeof number, "%d", row->answers[i]);
        (void)json_object_set_new(all, number,
                                  row->answers[i] < 400 ? success(row) : refusal(row->answers[i]));
    }
    (void)json_object_set_new(all, "default", refusal(0));
    return all;
}

static json_t *parameter(const char *name, size_t size, const char *where)
{
    json_t *required = json_boolean(strcmp(where, "path") == 0);
    return json_pack("{s:s%, s:s, s:o, s:{s:s}}", "name", name, size, "in", where, "required",
                     required, "schema", "type", "string");
}

static json_t *parameters(const struct route *row)
{
    json_t *list = json_array();
    for (const char *at = strchr(row->path, '{'); at; at = strchr(at + 1, '{'))
        (void)json_array_append_new(list, parameter(at + 1, strcspn(at + 1, "*}"), "path"));
    for (size_t i = 0; i < ROUTE_QUERIES_MAX && row->queries[i]; i++)
        (void)json_array_append_new(list,
                                    parameter(row->queries[i], strlen(row->queries[i]), "query"));
    return list;
}

/* get_v1_tasks_id_status */
static json_t *name_of(const struct route *row)
{
    char text[NAME_SIZE], name[NAME_SIZE];
    size_t size = 0;
    (void)snprintf(text, sizeof text, "%s%s", row->method, row->path);
    for (const char *c = text; *c; c++) {
        if (isalnum((unsigned char)*c))
            name[size++] = (char)tolower((unsigned char)*c);
        else if (size && name[size - 1] != '_' && *c != '}' && *c != '*')
            name[size++] = '_';
    }
    return json_stringn(name, size);
}

static json_t *operation(const struct route *row)
{
    json_t *self =
        json_pack("{s:s, s:o, s:o, s:o}", "summary", row->summary, "operationId", name_of(row),
                  "parameters", parameters(row), "responses", responses(row));
    if (row->body || row->body_type)
        (void)json_object_set_new(
            self, "requestBody",
            json_pack(
                "{s:o}", "content",
                content(row->body_type ? row->body_type : "application/json",
                        row->body ? reference(row->body) : json_pack("{s:s}", "type", "string"))));
    return self;
}

/* OpenAPI knows no {name*}. */
static void path_of(const struct route *row, char path[NAME_SIZE])
{
    size_t size = 0;
    for (const char *c = row->path; *c && size + 1 < NAME_SIZE; c++)
        if (*c != '*')
            path[size++] = *c;
    path[size] = '\0';
}

static json_t *paths(void)
{
    json_t *all = json_object();
    char method[16];
    size_t n = 0;
    for (const struct route *row = route_at(n); row; row = route_at(++n)) {
        char path[NAME_SIZE];
        size_t size = 0;
        path_of(row, path);
        for (; row->method[size] && size + 1 < sizeof method; size++)
            method[size] = (char)tolower((unsigned char)row->method[size]);
        method[size] = '\0';
        if (!json_object_get(all, path))
            (void)json_object_set_new(all, path, json_object());
        (void)json_object_set_new(json_object_get(all, path), method, operation(row));
    }
    return all;
}

static json_t *components(void)
{
    json_t *all = json_object();
    for (const struct schema *row = schemas; row->name; row++)
        (void)json_object_set_new(all, row->name, schema_load(row->name));
    return json_pack("{s:o}", "schemas", all);
}

json_t *openapi_document(void)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:o}", "openapi", "3.1.0", "info", "title",
                     "Gantry", "version", GANTRY_VERSION, "description",
                     "A durable task queue for media work. Errors are {\"detail\": text}; every "
                     "answer has X-Request-Id and traceparent.",
                     "paths", paths(), "components", components());
}
