#include "common/pack/self.h"
#include "tests/unit/test.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>

TEST(formats_have_names)
{
    UNUSED;
    enum pack_format format = PACK_TAR_GZ;
    CHECK(pack_format_of("zip", &format));
    CHECK_INT(format, PACK_ZIP);
    static const char *const tars[] = { "tar.gz", "tgz", "targz" };
    for (size_t i = 0; i < 3; i++) {
        format = PACK_ZIP;
        CHECK(pack_format_of(tars[i], &format));
        CHECK_INT(format, PACK_TAR_GZ);
    }
    static const char *const none[] = { "", "ZIP", "zip ", "tar", "gz", "7z", ".zip" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(!pack_format_of(none[i], &format));
    CHECK_TEXT(pack_suffix(PACK_ZIP), ".zip");
    CHECK_TEXT(pack_suffix(PACK_TAR_GZ), ".tar.gz");
}

TEST(levels_have_names)
{
    UNUSED;
    enum pack_level level = PACK_STORE;
    static const char *const names[] = { "store", "fast", "default", "maximum" };
    for (size_t i = 0; i < 4; i++) {
        CHECK(pack_level_of(names[i], &level));
        CHECK_INT(level, i);
    }
    CHECK(!pack_level_of("", &level));
    CHECK(!pack_level_of("best", &level));
}

TEST(a_file_is_an_archive_by_its_ending)
{
    UNUSED;
    enum pack_format format = PACK_TAR_GZ;
    CHECK(pack_format_of_name("a.zip", &format));
    CHECK_INT(format, PACK_ZIP);
    CHECK(pack_format_of_name("a.b.ZIP", &format));
    CHECK(pack_format_of_name("a.tar.gz", &format));
    CHECK_INT(format, PACK_TAR_GZ);
    CHECK(pack_format_of_name("x.tgz", &format));
    static const char *const none[] = {
        "", "zip", "azip", "a.gz", "a.tar", "a.zip.part", "tar.gz"
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(!pack_format_of_name(none[i], &format));
}

TEST(names_that_no_member_may_have)
{
    UNUSED;
    char long_one[PACK_NAME_MAX + 2];
    static const struct slice wrong[] = { SLICE_INIT("a\nb"),         SLICE_INIT("a\\b"),
                                          SLICE_INIT("\x7f"),         SLICE_INIT("caf\xe9"),
                                          SLICE_INIT("\xed\xa0\x80"), SLICE_INIT("\xc0\xae") };
    static const struct slice good[] = { SLICE_INIT("a"), SLICE_INIT("a b/c d"),
                                         SLICE_INIT("\xe4\xb8\xad/\xc3\xa9"),
                                         SLICE_INIT("..a/-rf") };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(pack_name_wrong(wrong[i]) != NULL);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(pack_name_wrong(good[i]) == NULL);
    for (size_t i = 0; i < sizeof long_one; i++)
        long_one[i] = i % 256 == 255 ? '/' : 'x';
    CHECK(pack_name_wrong(slice_make(long_one, PACK_NAME_MAX)) == NULL);
    CHECK(pack_name_wrong(slice_make(long_one, PACK_NAME_MAX + 1)) != NULL);
    memset(long_one, 'x', sizeof long_one);
    CHECK(pack_name_wrong(slice_make(long_one, 255)) == NULL);
    CHECK(pack_name_wrong(slice_make(long_one, 256)) != NULL);
}

TEST(messages_can_be_shown)
{
    UNUSED;
    char message[PACK_MESSAGE];
    CHECK_INT(pack_says(message, 7, "%s\x01 is %d", "caf\xe9", 5), 7);
    CHECK_TEXT(message, "caf?? is 5");
}

TEST(only_this_threads_locale_is_another_meanwhile)
{
    UNUSED;
    struct pack_locale locale = { 0 };
    pack_locale_clear(&locale); /* which was never begun */
    CHECK(setlocale(LC_ALL, "C") != NULL);
    CHECK_INT(pack_locale_init(&locale), 0);
    CHECK_TEXT(nl_langinfo(CODESET), "UTF-8");
    CHECK_TEXT(setlocale(LC_ALL, NULL), "C");
    pack_locale_clear(&locale);
    CHECK(strcmp(nl_langinfo(CODESET), "UTF-8") != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(formats_have_names),
        HOLDS(levels_have_names),
        HOLDS(a_file_is_an_archive_by_its_ending),
        HOLDS(names_that_no_member_may_have),
        HOLDS(messages_can_be_shown),
        HOLDS(only_this_threads_locale_is_another_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
