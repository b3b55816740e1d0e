#include "common/url.h"

#include <string.h>

#include "tests/unit/test.h"

TEST(addresses_of_http_are_taken)
{
    UNUSED;
    static const char *const good[] = {
        "http://a",
        "https://example.org/cb?x=1&y=%20",
        "HTTP://A.example:8080/",
        "http://[::1]:9/",
        "http://127.0.0.1/",
        "http://a?b@c",
        "http://a/b@c",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(url_valid(slice_of(good[i])));
}

TEST(everything_else_is_refused)
{
    UNUSED;
    static const char *const bad[] = {
        "",
        "http://",
        "http:///x",
        "ftp://a/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//a/b",
        "a.example/x",
        "http://a b",
        "http://a/\r\nX:",
        "http://u:p@a/",
        "http://u@a",
        "http://:80",
        "http://a/\xc3\xa9",
        " http://a",
        "http:/a",
        "http://a\\@b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!url_valid(slice_of(bad[i])));
}

TEST(as_long_as_allowed_and_no_longer)
{
    UNUSED;
    char text[URL_MAX + 2];
    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    CHECK(url_valid(slice_make(text, URL_MAX)));
    CHECK(!url_valid(slice_make(text, URL_MAX + 1)));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        HOLDS(addresses_of_http_are_taken),
        HOLDS(everything_else_is_refused),
        HOLDS(as_long_as_allowed_and_no_longer),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
