#include "services/front/route.h"

#include "tests/unit/test.h"

static int find(const char *method, const char *path, struct route_match *ret_match)
{
    char allow[64];
    return route_find(method, path, ret_match, allow);
}

TEST(a_path_finds_its_row)
{
    UNUSED;
    struct route_match match;
    CHECK_INT(find("GET", "/healthz", &match), 0);
    CHECK_TEXT(match.route->path, "/healthz");
    CHECK_INT(match.count, 0);
}

TEST(a_part_in_braces_is_one_segment_of_any_text)
{
    UNUSED;
    struct route_match match;
    CHECK_INT(find("GET", "/v1/tasks/a b/status", &match), 0);
    CHECK_TEXT(match.route->path, "/v1/tasks/{id}/status");
    CHECK_INT(match.count, 1);
    CHECK_SLICE(slice_make(match.names[0], match.name_sizes[0]), "id");
    CHECK_TEXT(match.values[0], "a b");
}

TEST(a_last_part_with_a_star_is_all_that_is_left)
{
    UNUSED;
    struct route_match match;
    CHECK_INT(find("GET", "/v1/files/download/a/b//c", &match), 0);
    CHECK_INT(match.count, 1);
    CHECK_SLICE(slice_make(match.names[0], match.name_sizes[0]), "path");
    CHECK_TEXT(match.rest, "a/b//c");
    CHECK_INT(find("GET", "/v1/files/download/", &match), 405);
    CHECK_INT(find("GET", "/v1/files/download", &match), 405); /* but it may be deleted */
}

TEST(a_row_that_says_more_goes_before_one_with_a_star)
{
    UNUSED;
    struct route_match match;
    CHECK_INT(find("DELETE", "/v1/files/directories", &match), 0);
    CHECK_TEXT(match.route->path, "/v1/files/directories");
    CHECK_INT(find("DELETE", "/v1/files/uploads/x", &match), 0);
    CHECK_TEXT(match.route->path, "/v1/files/uploads/{id}");
    CHECK_INT(find("DELETE", "/v1/files/uploads/x/y", &match), 0);
    CHECK_TEXT(match.rest, "uploads/x/y");
    CHECK_INT(find("HEAD", "/v1/files/uploads/x", &match), 0);
    CHECK_TEXT(match.route->method, "HEAD");
    CHECK_INT(find("GET", "/v1/files/uploads/x", &match), 0);
    CHECK_TEXT(match.route->method, "GET");
}

TEST(a_fixed_segment_goes_before_one_in_braces)
{
    UNUSED;
    struct route_match match;
    CHECK_INT(find("GET", "/v1/tasks/health", &match), 0);
    CHECK_TEXT(match.route->path, "/v1/tasks/health");
    CHECK_INT(match.count, 0);
}

TEST(what_has_no_row_is_not_found)
{
    UNUSED;
    static const char *const paths[] = {
        "/",
        "",
        "healthz",
        "/healthz/",
        "/healthz/x",
        "/health",
        "//healthz",
        "/HEALTHZ",
        "/v1/tasks//status",
        "/v1/tasks/",
        "/v1",
        "/v1/tasks/a/status/b",
        "/v1/tasks/a/../status",
    };
    struct route_match match;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        CHECK_INT(find("GET", paths[i], &match), 404);
}

TEST(another_method_is_told_which_there_are)
{
    UNUSED;
    struct route_match match;
    char allow[64];
    CHECK_INT(route_find("PUT", "/healthz", &match, allow), 405);
    CHECK_TEXT(allow, "GET, HEAD");
    CHECK_INT(route_find("PATCH", "/v1/tasks", &match, allow), 405);
    CHECK_TEXT(allow, "POST");
    CHECK_INT(route_find("get", "/healthz", &match, allow), 405);
    CHECK_INT(route_find("", "/healthz", &match, allow), 405);
}

TEST(head_is_answered_where_get_is)
{
    UNUSED;
    struct route_match match;
    CHECK_INT(find("HEAD", "/healthz", &match), 0);
    CHECK_INT(find("HEAD", "/v1/tasks", &match), 405);
}

TEST(a_segment_has_a_bound)
{
    UNUSED;
    struct route_match match;
    char path[ROUTE_PART_SIZE + 64] = "/v1/tasks/";
    const size_t start = strlen(path);
    memset(path + start, 'x', ROUTE_PART_SIZE - 1);
    strncat(path, "/status", 8);
    CHECK_INT(find("GET", path, &match), 0);
    CHECK_INT(strlen(match.values[0]), ROUTE_PART_SIZE - 1);
    memset(path + start, 'x', ROUTE_PART_SIZE);
    memcpy(path + start + ROUTE_PART_SIZE, "/status", 8);
    CHECK_INT(find("GET", path, &match), 404);
}

TEST(no_two_rows_are_the_same)
{
    UNUSED;
    size_t rows = 0;
    for (; route_at(rows); rows++)
        for (size_t n = 0; n < rows; n++)
            CHECK(strcmp(route_at(n)->path, route_at(rows)->path) != 0 ||
                  strcmp(route_at(n)->method, route_at(rows)->method) != 0);
    CHECK(rows > 3);
    CHECK(!route_at(rows + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_path_finds_its_row),
        HOLDS(a_part_in_braces_is_one_segment_of_any_text),
        HOLDS(a_last_part_with_a_star_is_all_that_is_left),
        HOLDS(a_row_that_says_more_goes_before_one_with_a_star),
        HOLDS(a_fixed_segment_goes_before_one_in_braces),
        HOLDS(what_has_no_row_is_not_found),
        HOLDS(another_method_is_told_which_there_are),
        HOLDS(head_is_answered_where_get_is),
        HOLDS(a_segment_has_a_bound),
        HOLDS(no_two_rows_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
