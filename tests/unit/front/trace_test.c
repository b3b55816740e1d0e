#include "services/front/trace.h"

#include "tests/unit/test.h"

#include <string.h>

static const char parent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(what_is_sane_is_kept)
{
    UNUSED;
    struct trace trace;
    trace_fill(&trace, "order-7:a.b_C", parent);
    CHECK_TEXT(trace.id, "order-7:a.b_C");
    CHECK_TEXT(trace.parent, parent);
}

TEST(what_is_not_there_is_made)
{
    UNUSED;
    struct trace one, two;
    trace_fill(&one, NULL, NULL);
    trace_fill(&two, NULL, NULL);
    CHECK_INT(strlen(one.id), 32);
    CHECK(trace_id_sane(one.id));
    CHECK(trace_parent_sane(one.parent));
    CHECK(strcmp(one.id, two.id) != 0);
    CHECK(strcmp(one.parent, two.parent) != 0);
}

TEST(ids_that_would_forge_or_flood_are_not_sane)
{
    UNUSED;
    char text[TRACE_ID_SIZE + 1];
    CHECK(!trace_id_sane(""));
    CHECK(!trace_id_sane("a b"));
    CHECK(!trace_id_sane("a\r\nSet-Cookie: b"));
    CHECK(!trace_id_sane("\xc3\xa9"));
    memset(text, 'x', sizeof text);
    text[TRACE_ID_SIZE] = '\0';
    CHECK(!trace_id_sane(text));
    text[TRACE_ID_SIZE - 1] = '\0';
    CHECK(trace_id_sane(text));
}

TEST(parents_are_of_the_form_of_the_w3c)
{
    UNUSED;
    static const char *const bad[] = {
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
    };
    CHECK(trace_parent_sane(parent));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!trace_parent_sane(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(what_is_sane_is_kept),
        HOLDS(what_is_not_there_is_made),
        HOLDS(ids_that_would_forge_or_flood_are_not_sane),
        HOLDS(parents_are_of_the_form_of_the_w3c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
