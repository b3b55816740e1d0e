#include "common/status.h"

#include <string.h>

#include "tests/unit/test.h"

TEST(codes_are_dense_and_in_order)
{
    UNUSED;
    int next = 0;
#define STATUS_ROW(name, code, http, text) CHECK_INT(code, next++);
    STATUSES(STATUS_ROW)
#undef STATUS_ROW
}

TEST(a_row_is_found_by_code_and_by_name)
{
    UNUSED;
    CHECK_TEXT(status_name(STATUS_NOT_FOUND), "NOT_FOUND");
    CHECK_TEXT(status_text(STATUS_NOT_FOUND), "no such thing");
    CHECK_INT(status_http(STATUS_NOT_FOUND), 404);
    CHECK_INT(status_by_name("NOT_FOUND"), STATUS_NOT_FOUND);
    CHECK_INT(status_by_name("OK"), 0);
}

TEST(what_has_no_row_is_unknown)
{
    UNUSED;
    const int codes[] = { -1, STATUS_INTERNAL + 1, 1 << 30 };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK_TEXT(status_name(codes[i]), "UNKNOWN");
        CHECK_TEXT(status_text(codes[i]), "unknown status");
        CHECK_INT(status_http(codes[i]), 500);
    }
    CHECK_INT(status_by_name("not_found"), -1);
    CHECK_INT(status_by_name(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(codes_are_dense_and_in_order),
        HOLDS(a_row_is_found_by_code_and_by_name),
        HOLDS(what_has_no_row_is_unknown),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
