#include "services/front/tus_head.h"

#include "common/status.h"
#include "tests/unit/test.h"

TEST(numbers_are_numbers_and_nothing_else)
{
    UNUSED;
    static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "1x", "1234567890123456789" };
    uint64_t number = 0;
    CHECK(tus_number_read("0", &number) && number == 0);
    CHECK(tus_number_read("123456789012345678", &number) && number == 123456789012345678);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!tus_number_read(bad[i], &number));
}

static void check_value(const char *header, const char *key, const char *wanted)
{
    char value[TUS_VALUE_MAX + 1];
    CHECK_INT(tus_metadata_read(header, key, value), wanted ? 0 : STATUS_INVALID);
    if (wanted)
        CHECK_TEXT(value, wanted);
}

TEST(metadata_is_a_list_of_keys_and_base64)
{
    UNUSED;
    check_value("", "a", "");
    check_value("a YQ==", "a", "a");
    check_value("b Yg==,a YWI=, c", "a", "ab");
    check_value("b Yg==,a YWI=, c", "c", "");
    check_value("a YWJj", "b", "");
    check_value("a 5Lit", "a", "\xe4\xb8\xad");
}

TEST(metadata_that_is_none_is_refused)
{
    UNUSED;
    check_value("a YQ", "a", NULL);
    check_value("a Y=Q=", "a", NULL);
    check_value("a ====", "a", NULL);
    check_value("a AGE=", "a", NULL); /* a NUL */
    check_value("a /w==", "a", NULL); /* no UTF-8 */
    check_value("a YQ==,a YQ==", "a", NULL);
    check_value(",", "a", NULL);
    char large[3000] = "a ";
    memset(large + 2, 'Y', 2000);
    check_value(large, "a", NULL);
}

TEST(a_checksum_is_of_an_algorithm_that_is_known)
{
    UNUSED;
    struct tus_checksum sum;
    CHECK_INT(tus_checksum_read("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", &sum), 0);
    CHECK_TEXT(sum.algorithm, "sha1");
    CHECK_INT(sum.size, 20);
    CHECK_INT(sum.digest[0], 0xaa);
    CHECK_INT(tus_checksum_read("crc32 AAAAAA==", &sum), STATUS_UNSUPPORTED);
    CHECK_INT(tus_checksum_read("", &sum), STATUS_UNSUPPORTED);
    CHECK_INT(tus_checksum_read("md5 qvTGHdzF6KLavt4PO0gs2a6pQ00=", &sum), STATUS_INVALID);
    CHECK_INT(tus_checksum_read("sha1", &sum), STATUS_INVALID);
    CHECK_INT(tus_checksum_read("sha1 x", &sum), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(numbers_are_numbers_and_nothing_else),
        HOLDS(metadata_is_a_list_of_keys_and_base64),
        HOLDS(metadata_that_is_none_is_refused),
        HOLDS(a_checksum_is_of_an_algorithm_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
