#include "tests/unit/test.h"

#include "common/status.h"
#include "services/state/refusal.h"

TEST(a_refusal_names_the_field)
{
    UNUSED;
    struct refusal why = { 0 };
    CHECK_INT(refusal_say(&why, STATUS_BUSY, NULL, "%d of %d", 1, 2), STATUS_BUSY);
    CHECK_TEXT(why.message, "1 of 2");
    CHECK_TEXT(why.field, "");
    CHECK_INT(refusal_input(&why, SLICE("path"), "must be %s", "one"), STATUS_INVALID);
    CHECK_TEXT(why.field, "input.path");
    CHECK_TEXT(why.message, "must be one");
}

/* Cut anywhere, it stays text: whole characters only. */
TEST(long_texts_are_cut_between_characters)
{
    UNUSED;
    static const char *const characters[] = { "x", "é", "中", "😀" };
    char name[512];
    for (size_t c = 0; c < 4; c++) {
        const size_t size = strlen(characters[c]);
        for (size_t lead = 0; lead < 4; lead++) {
            struct refusal why = { 0 };
            size_t at = lead;
            memset(name, '-', lead);
            while (at + size < sizeof name) {
                memcpy(name + at, characters[c], size);
                at += size;
            }
            name[at] = '\0';
            refusal_input(&why, slice_make(name, at), "%s", name);
            CHECK_INT((strlen(why.message) - lead) % size, 0);
            CHECK_INT((strlen(why.field) - strlen("input.") - lead) % size, 0);
            CHECK(strlen(why.message) > REFUSAL_MESSAGE_MAX - 5);
            CHECK(strlen(why.field) > REFUSAL_FIELD_MAX - 5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_refusal_names_the_field),
        HOLDS(long_texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
