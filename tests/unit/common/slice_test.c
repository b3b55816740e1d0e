#include "common/slice.h"

#include <stdlib.h>

#include "tests/unit/test.h"

TEST(slices_are_equal_by_bytes)
{
    UNUSED;
    CHECK(slice_equal(SLICE("ab"), slice_make("abc", 2)));
    CHECK(!slice_equal(SLICE("ab"), SLICE("abc")));
    CHECK(!slice_equal(SLICE("ab"), SLICE("aB")));
    CHECK(slice_equal(slice_make(NULL, 0), SLICE("")));
    CHECK(slice_is(SLICE("ab"), "ab"));
    CHECK(!slice_is(slice_make("a\0b", 3), "a"));
    CHECK_INT(slice_of(NULL).size, 0);
}

TEST(a_copy_ends_in_nul)
{
    UNUSED;
    char *text = slice_dup(slice_make("abc", 2));
    CHECK_TEXT(text, "ab");
    free(text);
    text = slice_dup(slice_make(NULL, 0));
    CHECK_TEXT(text, "");
    free(text);
}

TEST(a_copy_that_would_not_be_the_same_is_refused)
{
    UNUSED;
    char text[4] = "old";
    CHECK(slice_copy(SLICE("abc"), text, sizeof text));
    CHECK_TEXT(text, "abc");
    CHECK(!slice_copy(SLICE("abcd"), text, sizeof text));
    CHECK_TEXT(text, "");
    CHECK(!slice_copy(slice_make("a\0b", 3), text, sizeof text));
    CHECK_TEXT(text, "");
    CHECK(slice_copy(slice_make(NULL, 0), text, sizeof text));
    CHECK_TEXT(text, "");
}

/* Vectors of the FNV-1a page: the hash must not change between versions that share a table. */
TEST(the_hash_is_fnv_1a)
{
    UNUSED;
    CHECK(slice_hash(SLICE("")) == 0xcbf29ce484222325u);
    CHECK(slice_hash(SLICE("a")) == 0xaf63dc4c8601ec8cu);
    CHECK(slice_hash(SLICE("foobar")) == 0x85944171f73967e8u);
    CHECK(slice_hash_from(slice_hash(SLICE("foo")), SLICE("bar")) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(slices_are_equal_by_bytes),
        HOLDS(a_copy_ends_in_nul),
        HOLDS(a_copy_that_would_not_be_the_same_is_refused),
        HOLDS(the_hash_is_fnv_1a),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
