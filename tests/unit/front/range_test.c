#include "services/front/range.h"

#include "tests/unit/test.h"

TEST(one_range_is_read)
{
    UNUSED;
    static const char *const good[][2] = {
        { "bytes=0-0", "bytes=0-0" },   { "bytes=5-", "bytes=5-" },     { "bytes=-5", "bytes=-5" },
        { "Bytes=05-9", "bytes=05-9" }, { "bytes=9-10", "bytes=9-10" },
    };
    char text[RANGE_TEXT];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(range_read(good[i][0], text));
        CHECK_TEXT(text, good[i][1]);
    }
}

TEST(all_is_given_to_who_asks_for_none_or_several)
{
    UNUSED;
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=1-2,4-5",
        "lines=1-2",
        "bytes=2-1",
        "bytes= 1-2",
        "bytes=1-2 ",
        "bytes=a-b",
        "bytes=1--2",
        "bytes=-1-2",
        "bytes=10-9",
        "bytes=1234567890123456789-",
    };
    char text[RANGE_TEXT];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!range_read(bad[i], text));
}

TEST(an_etag_is_found_in_a_list)
{
    UNUSED;
    CHECK(range_etag_listed("\"a\"", "a"));
    CHECK(range_etag_listed("\"b\", W/\"a\"", "a"));
    CHECK(range_etag_listed(" * ", "a"));
    CHECK(!range_etag_listed("\"ab\"", "a"));
    CHECK(!range_etag_listed("a", "a"));
    CHECK(!range_etag_listed("\"a", "a"));
    CHECK(!range_etag_listed("", "a"));
}

TEST(a_name_to_save_it_by_is_safe)
{
    UNUSED;
    char text[RANGE_NAME];
    range_disposition("a/b c.mp4", text);
    CHECK_TEXT(text, "attachment; filename=\"b c.mp4\"; filename*=UTF-8''b%20c.mp4");
    range_disposition("\xe4\xb8\xad\"\\\x7f.srt", text);
    CHECK_TEXT(text, "attachment; filename=\"____.srt\"; filename*=UTF-8''%E4%B8%AD%22%5C%7F.srt");
}

TEST(the_longest_name_is_whole)
{
    UNUSED;
    char name[1025] = "", text[RANGE_NAME];
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xa9", 3);
    range_disposition(name, text);
    const char *coded = strstr(text, "UTF-8''");
    CHECK(coded);
    CHECK_INT(strlen(coded), strlen("UTF-8''") + 3 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(one_range_is_read),          HOLDS(all_is_given_to_who_asks_for_none_or_several),
        HOLDS(an_etag_is_found_in_a_list), HOLDS(a_name_to_save_it_by_is_safe),
        HOLDS(the_longest_name_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
