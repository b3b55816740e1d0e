#include "services/worker/transfer.h"

#include "services/worker/transfer_self.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

TEST(a_type_is_told_by_the_ending)
{
    UNUSED;
    CHECK_TEXT(transfer_type_of("x/frame.JPG"), "image/jpeg");
    CHECK_TEXT(transfer_type_of("a.tar.gz"), "application/gzip");
    CHECK_TEXT(transfer_type_of("a.mp4.part"), "");
    CHECK_TEXT(transfer_type_of("plain"), "");
}

TEST(a_name_is_fit_for_a_file)
{
    UNUSED;
    char name[256];
    char long_name[400];
    memset(long_name, 'x', sizeof long_name);
    (void)snprintf(long_name + 390, 10, ".mp4");
    static const struct {
        const char *path, *name;
    } rows[] = {
        { "t1/in/talk.mp4", "talk.mp4" },
        { "talk.mp4", "talk.mp4" },
        { "t1/", "download" },
        { "", "download" },
        { "a/..", "download" },
        { "a/.", "download" },
        { "中/文.srt", "文.srt" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        transfer_name_of(slice_of(rows[i].path), name);
        CHECK_TEXT(name, rows[i].name);
    }
    transfer_name_of(slice_of(long_name), name);
    CHECK_TEXT(name, "download.mp4");
}

TEST(what_does_not_fit_is_said)
{
    UNUSED;
    char text[8];
    char why[TRANSFER_WHY] = "";
    CHECK_INT(transfer_join("abc", "def", text, sizeof text, why), 0);
    CHECK_TEXT(text, "abc/def");
    CHECK_INT(transfer_join("abc", "defg", text, sizeof text, why), STATUS_INVALID);
    CHECK(strstr(why, "defg"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_type_is_told_by_the_ending),
        HOLDS(a_name_is_fit_for_a_file),
        HOLDS(what_does_not_fit_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
