#include "services/worker/tail.h"

#include "tests/unit/test.h"

#include <stdio.h>

static char text[TAIL_BYTES + 1];

TEST(few_words_are_all_kept)
{
    UNUSED;
    struct tail tail = { .at = 0 };
    tail_text(&tail, text);
    CHECK_TEXT(text, "");
    tail_add(&tail, SLICE("one\n"));
    tail_add(&tail, SLICE("t\0wo"));
    tail_text(&tail, text);
    CHECK_TEXT(text, "one\nt?wo");
}

TEST(of_many_lines_the_last_are_kept_whole)
{
    UNUSED;
    struct tail tail = { .at = 0 };
    for (int i = 0; i < 10000; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "line %d\n", i);
        tail_add(&tail, slice_of(line));
    }
    tail_text(&tail, text);
    CHECK(strlen(text) > TAIL_BYTES - 16);
    CHECK(strncmp(text, "line ", 5) == 0);
    CHECK_TEXT(text + strlen(text) - 10, "line 9999\n");
}

TEST(one_write_larger_than_all_keeps_its_end)
{
    UNUSED;
    static char big[3 * TAIL_BYTES];
    struct tail tail = { .at = 0 };
    memset(big, 'a', sizeof big);
    memcpy(big + sizeof big - 4, "last", 4);
    tail_add(&tail, SLICE("before"));
    tail_add(&tail, slice_make(big, sizeof big));
    tail_text(&tail, text);
    CHECK_INT(strlen(text), TAIL_BYTES);
    CHECK_TEXT(text + TAIL_BYTES - 5, "alast");
}

TEST(exactly_full_loses_nothing_more)
{
    UNUSED;
    static char big[TAIL_BYTES];
    struct tail tail = { .at = 0 };
    memset(big, 'b', sizeof big);
    tail_add(&tail, slice_make(big, sizeof big));
    tail_text(&tail, text);
    CHECK_INT(strlen(text), TAIL_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(few_words_are_all_kept),
        HOLDS(of_many_lines_the_last_are_kept_whole),
        HOLDS(one_write_larger_than_all_keeps_its_end),
        HOLDS(exactly_full_loses_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
