#include "tests/unit/test.h"

#include "common/objects/retry.h"
#include "common/status.h"

#include <errno.h>

TEST(an_answer_means_one_status_and_few_are_asked_again)
{
    UNUSED;
    static const struct {
        long http;
        const char *code;
        int result;
        bool again;
    } rows[] = {
        { 200, "", 0, false },
        { 204, "", 0, false },
        { 206, "", 0, false },
        { 301, "PermanentRedirect", STATUS_INVALID, false },
        { 400, "BadDigest", STATUS_INVALID, false },
        { 400, "RequestTimeout", STATUS_UNAVAILABLE, true },
        { 401, "", STATUS_DENIED, false },
        { 403, "", STATUS_DENIED, false },
        { 403, "RequestTimeTooSkewed", STATUS_DENIED, false },
        { 404, "NoSuchKey", STATUS_NOT_FOUND, false },
        { 404, "", STATUS_NOT_FOUND, false },
        { 409, "BucketAlreadyOwnedByYou", STATUS_CONFLICT, false },
        { 412, "PreconditionFailed", STATUS_CONFLICT, false },
        { 413, "", STATUS_TOO_LARGE, false },
        { 416, "InvalidRange", STATUS_INVALID, false },
        { 429, "", STATUS_UNAVAILABLE, true },
        { 498, "", STATUS_INVALID, false },
        { 500, "InternalError", STATUS_UNAVAILABLE, true },
        { 501, "NotImplemented", STATUS_UNSUPPORTED, false },
        { 503, "SlowDown", STATUS_UNAVAILABLE, true },
        { 503, "", STATUS_UNAVAILABLE, true },
        { 507, "", STATUS_UNAVAILABLE, true },
        { 100, "", STATUS_MALFORMED, false },
        { 999, "", STATUS_MALFORMED, false },
        { 0, "", STATUS_MALFORMED, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct verdict verdict = retry_answer(rows[i].http, rows[i].code);
        CHECK_INT(verdict.result, rows[i].result);
        CHECK_INT(verdict.again, rows[i].again);
    }
}

TEST(a_late_error_is_told_by_its_code)
{
    UNUSED;
    CHECK_INT(retry_late("InternalError").result, STATUS_UNAVAILABLE);
    CHECK(retry_late("SlowDown").again);
    CHECK_INT(retry_late("NoSuchUpload").result, STATUS_NOT_FOUND);
    CHECK_INT(retry_late("EntityTooSmall").result, STATUS_INVALID);
    CHECK(!retry_late("").again);
}

TEST(what_a_transfer_breaks_of_is_tried_again_unless_that_is_no_help)
{
    UNUSED;
    CHECK(retry_transfer(CURLE_COULDNT_CONNECT).again);
    CHECK(retry_transfer(CURLE_PARTIAL_FILE).again);
    CHECK(retry_transfer(CURLE_GOT_NOTHING).again);
    CHECK(!retry_transfer(CURLE_PEER_FAILED_VERIFICATION).again);
    CHECK_INT(retry_transfer(CURLE_PEER_FAILED_VERIFICATION).result, STATUS_UNAVAILABLE);
    CHECK_INT(retry_transfer(CURLE_WEIRD_SERVER_REPLY).result, STATUS_MALFORMED);
    CHECK_INT(retry_transfer(CURLE_OUT_OF_MEMORY).result, -ENOMEM);
}

TEST(waits_double_up_to_a_bound_and_are_half_chance)
{
    UNUSED;
    CHECK_INT(retry_wait_ms(1, 0, 0), 200);
    CHECK_INT(retry_wait_ms(1, 0, 200), 400);
    CHECK_INT(retry_wait_ms(1, 0, 201), 200);
    CHECK_INT(retry_wait_ms(2, 0, 0), 400);
    CHECK_INT(retry_wait_ms(5, 0, 0), 3200);
    CHECK_INT(retry_wait_ms(100, 0, 10000), 20000);
    CHECK_INT(retry_wait_ms(UINT32_MAX, 0, 0), 10000);
}

TEST(the_stores_wish_goes_before_it_within_a_bound)
{
    UNUSED;
    CHECK_INT(retry_wait_ms(1, 3, 0), 3000);
    CHECK_INT(retry_wait_ms(100, 3, 0), 10000);
    CHECK_INT(retry_wait_ms(1, INT64_MAX, 0), 60000);
    CHECK_INT(retry_wait_ms(1, -5, 0), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(an_answer_means_one_status_and_few_are_asked_again),
        HOLDS(a_late_error_is_told_by_its_code),
        HOLDS(what_a_transfer_breaks_of_is_tried_again_unless_that_is_no_help),
        HOLDS(waits_double_up_to_a_bound_and_are_half_chance),
        HOLDS(the_stores_wish_goes_before_it_within_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
