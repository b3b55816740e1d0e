#include "tests/unit/test.h"

#include "common/objects/name.h"

TEST(a_bucket_is_named_as_s3_wants_it)
{
    UNUSED;
    static const char *const good[] = { "abc", "a-b.c0", "0aa" };
    static const char *const bad[] = { "",    "ab",  "Abc",  "a_b", "-ab",   "ab-",
                                       ".ab", "ab.", "a..b", "a/b", "中文桶" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(objects_bucket_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!objects_bucket_valid(bad[i]));
    char longest[OBJECTS_BUCKET_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[OBJECTS_BUCKET_MAX] = '\0';
    CHECK(objects_bucket_valid(longest));
    longest[OBJECTS_BUCKET_MAX] = 'a';
    longest[OBJECTS_BUCKET_MAX + 1] = '\0';
    CHECK(!objects_bucket_valid(longest));
}

TEST(a_key_is_a_path_that_stays_where_it_is)
{
    UNUSED;
    static const char *const good[] = {
        "a", "a/b", "a/", "中文 =+%~&?#.txt", "...", "a/.b/..c", " "
    };
    static const char *const bad[] = {
        "",    "/a",   "a//b", ".",     "..",   "a/../b",   "./a",
        "a/.", "a/..", "a\nb", "a\x7f", "\xff", "\xc0\xaf", "a/./b"
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(objects_key_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!objects_key_valid(bad[i]));
    char longest[OBJECTS_KEY_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[OBJECTS_KEY_MAX] = '\0';
    CHECK(objects_key_valid(longest));
    longest[OBJECTS_KEY_MAX] = 'a';
    longest[OBJECTS_KEY_MAX + 1] = '\0';
    CHECK(!objects_key_valid(longest));
}

TEST(an_endpoint_has_a_scheme_a_host_and_no_path)
{
    UNUSED;
    static const struct {
        const char *text, *kept, *host;
    } good[] = {
        { "http://minio:9000", "http://minio:9000", "minio:9000" },
        { "HTTP://Minio/", "http://minio", "minio" },
        { "http://minio:80", "http://minio", "minio" },
        { "https://s3.example.com:443/", "https://s3.example.com", "s3.example.com" },
        { "https://s3.example.com:80", "https://s3.example.com:80", "s3.example.com:80" },
        { "http://[::1]:9000", "http://[::1]:9000", "[::1]:9000" },
        { "http://[::1]", "http://[::1]", "[::1]" },
    };
    static const char *const bad[] = { "",
                                       "minio:9000",
                                       "ftp://minio",
                                       "http://",
                                       "http:///",
                                       "http://minio/path",
                                       "http://minio//",
                                       "http://user@minio",
                                       "http://minio:",
                                       "http://minio:0",
                                       "http://minio:65536",
                                       "http://minio:9a",
                                       "http://mi nio",
                                       "http://:9000",
                                       "http://minio?x",
                                       "http://minio\n" };
    struct endpoint endpoint;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(endpoint_read(slice_of(good[i].text), &endpoint));
        CHECK_TEXT(endpoint.text, good[i].kept);
        CHECK_TEXT(endpoint.host, good[i].host);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!endpoint_read(slice_of(bad[i]), &endpoint));
}

TEST(a_path_is_encoded_once_and_by_its_segments)
{
    UNUSED;
    char path[NAME_PATH_MAX];
    name_path(NULL, NULL, path);
    CHECK_TEXT(path, "/");
    name_path("bucket", NULL, path);
    CHECK_TEXT(path, "/bucket");
    name_path("bucket", "a b/+=%~中&?#", path);
    CHECK_TEXT(path, "/bucket/a%20b/%2B%3D%25~%E4%B8%AD%26%3F%23");
}

TEST(the_longest_key_has_room)
{
    UNUSED;
    char key[OBJECTS_KEY_MAX + 1];
    char path[NAME_PATH_MAX];
    memset(key, ' ', sizeof key);
    key[OBJECTS_KEY_MAX] = '\0';
    name_path("b", key, path);
    CHECK_INT(strlen(path), 3 + 3 * OBJECTS_KEY_MAX);
}

TEST(what_does_not_fit_is_told_by_its_length)
{
    UNUSED;
    char text[4] = "xyz";
    CHECK_INT(name_encode(SLICE("a%"), false, text, sizeof text), 4);
    CHECK_TEXT(text, "");
    CHECK_INT(name_encode(SLICE("a/"), true, text, sizeof text), 2);
    CHECK_TEXT(text, "a/");
    CHECK_INT(name_encode(SLICE("a/"), false, NULL, 0), 4);
}

TEST(what_was_encoded_is_decoded)
{
    UNUSED;
    char plain[] = "%E4%B8%AD+%2b";
    char plus[] = "a+b%20c";
    char half[] = "a%2";
    char other[] = "a%zz";
    char nul[] = "a%00b";
    CHECK(name_decode(plain, false));
    CHECK_TEXT(plain, "中++");
    CHECK(name_decode(plus, true));
    CHECK_TEXT(plus, "a b c");
    CHECK(!name_decode(half, false));
    CHECK(!name_decode(other, false));
    CHECK(!name_decode(nul, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_bucket_is_named_as_s3_wants_it),
        HOLDS(a_key_is_a_path_that_stays_where_it_is),
        HOLDS(an_endpoint_has_a_scheme_a_host_and_no_path),
        HOLDS(a_path_is_encoded_once_and_by_its_segments),
        HOLDS(the_longest_key_has_room),
        HOLDS(what_does_not_fit_is_told_by_its_length),
        HOLDS(what_was_encoded_is_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
