#include "services/front/metrics_text.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

TEST(figures_stand_under_their_names)
{
    UNUSED;
    const struct m_ledger ledger = {
        .accepted = 12, .completed = 7, .pending = 5, .balanced = true
    };
    const struct m_disk_use disk = {
        .free_bytes = UINT64_MAX, .refusing = true, .measured_ms = 5999, .folders = 3
    };
    char *text = metrics_text(&ledger, &disk);
    CHECK(text != NULL);
    CHECK(strstr(text, "# HELP gantry_stages stages that have not ended\n"
                       "# TYPE gantry_stages gauge\n"
                       "gantry_stages{state=\"scheduled\"} 0\n"
                       "gantry_stages{state=\"pending\"} 5\n") != NULL);
    CHECK(strstr(text, "\ngantry_stages_ended_total{state=\"completed\"} 7\n") != NULL);
    CHECK(strstr(text, "\ngantry_stages_accepted_total 12\n") != NULL);
    CHECK(strstr(text, "\ngantry_ledger_balanced 1\n") != NULL);
    CHECK(strstr(text, "\ngantry_disk_free_bytes 18446744073709551615\n") != NULL);
    CHECK(strstr(text, "\ngantry_disk_refusing 1\n") != NULL);
    CHECK(strstr(text, "\ngantry_disk_folders 3\n") != NULL);
    CHECK(strstr(text, "\ngantry_disk_measured_seconds 5\n") != NULL);
    free(text);
}

TEST(what_is_not_known_is_left_out)
{
    UNUSED;
    const struct m_ledger ledger = { 0 };
    const struct m_disk_use unmeasured = { .total_bytes = 1 };
    char *text = metrics_text(&ledger, NULL);
    CHECK(text != NULL && !strstr(text, "gantry_disk"));
    free(text);
    text = metrics_text(&ledger, &unmeasured);
    CHECK(text != NULL && strstr(text, "\ngantry_disk_total_bytes 1\n"));
    CHECK(!strstr(text, "gantry_disk_folders"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(figures_stand_under_their_names),
        HOLDS(what_is_not_known_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
