#include "tests/unit/test.h"

#include "common/objects/digest.h"
#include "common/objects/sign.h"

/* From Amazon's own description of Signature Version 4 for S3. */
static const struct sign_keys keys = { .access = "AKIAIOSFODNN7EXAMPLE",
                                       .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                       .region = "us-east-1" };
#define DATE "20130524T000000Z"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

TEST(a_get_with_a_range_is_signed_as_amazon_does)
{
    UNUSED;
    const struct sign_field headers[] = { { "x-amz-date", DATE },
                                          { "host", "examplebucket.s3.amazonaws.com" },
                                          { "x-amz-content-sha256", EMPTY },
                                          { "range", "bytes=0-9" } };
    const struct sign_request request = { .method = "GET",
                                          .path = "/test.txt",
                                          .headers = headers,
                                          .header_count = 4,
                                          .payload = EMPTY };
    char value[SIGN_AUTHORIZATION];
    CHECK_INT(sign_authorization(&keys, &request, DATE, value), 0);
    CHECK_TEXT(value, "AWS4-HMAC-SHA256 "
                      "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                      "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                      "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(a_put_of_bytes_is_signed_as_amazon_does)
{
    UNUSED;
    char hash[DIGEST_HEX];
    CHECK_INT(digest_sha256(SLICE("Welcome to Amazon S3."), hash), 0);
    const struct sign_field headers[] = { { "date", "Fri, 24 May 2013 00:00:00 GMT" },
                                          { "host", "examplebucket.s3.amazonaws.com" },
                                          { "x-amz-content-sha256", hash },
                                          { "x-amz-date", DATE },
                                          { "x-amz-storage-class", "REDUCED_REDUNDANCY" } };
    const struct sign_request request = { .method = "PUT",
                                          .path = "/test%24file.text",
                                          .headers = headers,
                                          .header_count = 5,
                                          .payload = hash };
    char hex[SIGN_HEX];
    CHECK_INT(sign_signature(&keys, &request, DATE, hex), 0);
    CHECK_TEXT(hex, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(a_query_without_a_value_is_signed_as_amazon_does)
{
    UNUSED;
    const struct sign_field headers[] = { { "host", "examplebucket.s3.amazonaws.com" },
                                          { "x-amz-content-sha256", EMPTY },
                                          { "x-amz-date", DATE } };
    const struct sign_field query = { "lifecycle", "" };
    const struct sign_request request = { .method = "GET",
                                          .path = "/",
                                          .query = &query,
                                          .query_count = 1,
                                          .headers = headers,
                                          .header_count = 3,
                                          .payload = EMPTY };
    char hex[SIGN_HEX];
    CHECK_INT(sign_signature(&keys, &request, DATE, hex), 0);
    CHECK_TEXT(hex, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(a_query_may_come_in_any_order)
{
    UNUSED;
    const struct sign_field headers = { "host", "h" };
    const struct sign_field sorted[] = { { "a", "1" }, { "a-b", "0" }, { "b", "%20" } };
    const struct sign_field mixed[] = { { "b", "%20" }, { "a-b", "0" }, { "a", "1" } };
    struct sign_request request = { .method = "GET",
                                    .path = "/",
                                    .query = sorted,
                                    .query_count = 3,
                                    .headers = &headers,
                                    .header_count = 1,
                                    .payload = EMPTY };
    char one[SIGN_HEX];
    char other[SIGN_HEX];
    CHECK_INT(sign_signature(&keys, &request, DATE, one), 0);
    request.query = mixed;
    CHECK_INT(sign_signature(&keys, &request, DATE, other), 0);
    CHECK_TEXT(one, other);
}

TEST(a_date_is_told_to_the_second)
{
    UNUSED;
    char date[SIGN_DATE];
    sign_date(1369353600999, date);
    CHECK_TEXT(date, DATE);
}

TEST(hashes_are_written_in_hex_and_read_back)
{
    UNUSED;
    unsigned char bytes[2] = { 0xa0, 0x0f };
    char hex[5];
    digest_hex(bytes, sizeof bytes, hex);
    CHECK_TEXT(hex, "a00f");
    CHECK(digest_unhex("FF01", bytes, 2) && bytes[0] == 0xff && bytes[1] == 1);
    CHECK(!digest_unhex("F", bytes, 1));
    CHECK(!digest_unhex("fg", bytes, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_get_with_a_range_is_signed_as_amazon_does),
        HOLDS(a_put_of_bytes_is_signed_as_amazon_does),
        HOLDS(a_query_without_a_value_is_signed_as_amazon_does),
        HOLDS(a_query_may_come_in_any_order),
        HOLDS(a_date_is_told_to_the_second),
        HOLDS(hashes_are_written_in_hex_and_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
