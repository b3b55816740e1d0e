#include "services/front/uri.h"

#include "common/scoped.h"
#include "common/status.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

static void check_path(const char *target, const char *path)
{
    scoped_in(uri) uri = { 0 };
    const char *why = NULL;
    CHECK_INT(uri_parse(target, &uri, &why), 0);
    CHECK_TEXT(uri.path, path);
}

TEST(a_path_is_decoded)
{
    UNUSED;
    check_path("/", "/");
    check_path("/a%20b/%E4%B8%AD%2f+", "/a b/中/+");
    check_path("http://host:80/x?y", "/x");
    check_path("HTTPS://host", "/");
}

TEST(parameters_are_decoded_and_found)
{
    UNUSED;
    scoped_in(uri) uri = { 0 };
    const char *why = NULL;
    CHECK_INT(uri_parse("/p?a=1&b=x+y%26&&c&d=", &uri, &why), 0);
    CHECK_TEXT(uri_query(&uri, "a"), "1");
    CHECK_TEXT(uri_query(&uri, "b"), "x y&");
    CHECK_TEXT(uri_query(&uri, "c"), "");
    CHECK_TEXT(uri_query(&uri, "d"), "");
    CHECK(!uri_query(&uri, "e"));
    CHECK_INT(uri.count, 4);
}

static void check_wrong(const char *target, const char *should)
{
    struct uri uri = { 0 };
    const char *why = NULL;
    CHECK_INT(uri_parse(target, &uri, &why), STATUS_INVALID);
    CHECK_TEXT(why, should);
    CHECK(!uri.text);
}

TEST(what_is_no_address_is_told)
{
    UNUSED;
    check_wrong("", "the address does not begin with /");
    check_wrong("*", "the address does not begin with /");
    check_wrong("host:443", "the address does not begin with /");
    check_wrong("/%", "the address has a % that is no escape");
    check_wrong("/%2", "the address has a % that is no escape");
    check_wrong("/%zz", "the address has a % that is no escape");
    check_wrong("/?a=%g0", "the address has a % that is no escape");
    check_wrong("/%00", "the address has a control character");
    check_wrong("/a\x01", "the address has a control character");
    check_wrong("/?a=%0a", "the address has a control character");
    check_wrong("/%ff", "the address is not UTF-8");
    check_wrong("/a#b", "the address has a # or a blank");
    check_wrong("/a b", "the address has a # or a blank");
    check_wrong("/?a=1&a=2", "a query parameter is given twice");
}

TEST(parameters_have_a_bound)
{
    UNUSED;
    scoped_in(uri) uri = { 0 };
    const char *why = NULL;
    char target[256] = "/?";
    size_t size = 2;
    for (int i = 0; i < URI_QUERIES_MAX; i++)
        size += (size_t)snprintf(target + size, sizeof target - size, "p%d=%d&", i, i);
    CHECK_INT(uri_parse(target, &uri, &why), 0);
    CHECK_TEXT(uri_query(&uri, "p15"), "15");
    (void)snprintf(target + size, sizeof target - size, "one=more");
    check_wrong(target, "there are too many query parameters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_path_is_decoded),
        HOLDS(parameters_are_decoded_and_found),
        HOLDS(what_is_no_address_is_told),
        HOLDS(parameters_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
