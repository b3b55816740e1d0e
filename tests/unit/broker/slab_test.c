#include "tests/unit/test.h"

#include "broker/slab.h"

TEST(items_are_numbered_and_never_move)
{
    UNUSED;
    slab_t *slab = slab_new(24, 1000);
    uint32_t index;
    void *first = slab_take(slab, &index);
    CHECK_INT(index, 0);
    for (uint32_t i = 1; i < 1000; i++) {
        CHECK(slab_take(slab, &index));
        CHECK_INT(index, i);
    }
    CHECK(slab_at(slab, 0) == first);
    CHECK_INT(slab_taken(slab), 1000);
    slab_destroy(&slab);
}

TEST(max_is_a_bound_and_what_is_given_back_is_taken_again)
{
    UNUSED;
    slab_t *slab = slab_new(8, 3);
    uint32_t index;
    for (int i = 0; i < 3; i++)
        CHECK(slab_take(slab, &index));
    CHECK(!slab_take(slab, &index));
    slab_give(slab, 1);
    CHECK_INT(slab_taken(slab), 2);
    CHECK(slab_take(slab, &index));
    CHECK_INT(index, 1);
    CHECK(!slab_take(slab, &index));
    CHECK_INT(slab_reach(slab), 3);
    slab_destroy(&slab);
}

TEST(an_item_is_zero_at_first_and_keeps_what_was_left_in_it)
{
    UNUSED;
    slab_t *slab = slab_new(sizeof(uint32_t), 2);
    uint32_t index;
    uint32_t *item = slab_take(slab, &index);
    CHECK_INT(*item, 0);
    *item = 7;
    slab_give(slab, index);
    item = slab_take(slab, &index);
    CHECK_INT(*item, 7);
    slab_destroy(&slab);
}

TEST(a_number_never_taken_finds_nothing)
{
    UNUSED;
    slab_t *slab = slab_new(8, 1000000);
    uint32_t index;
    CHECK(!slab_at(slab, 0));
    slab_take(slab, &index);
    CHECK(slab_at(slab, 0));
    CHECK(!slab_at(slab, 1));
    CHECK(!slab_at(slab, UINT32_MAX));
    slab_destroy(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(items_are_numbered_and_never_move),
        HOLDS(max_is_a_bound_and_what_is_given_back_is_taken_again),
        HOLDS(an_item_is_zero_at_first_and_keeps_what_was_left_in_it),
        HOLDS(a_number_never_taken_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
