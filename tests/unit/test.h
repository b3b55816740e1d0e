#pragma once
/* cmocka with its includes, and checks that say what they compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CHECK(truth) assert_true(truth)
#define CHECK_INT(is, should) assert_int_equal((is), (should))
#define CHECK_TEXT(is, should) assert_string_equal((is), (should))
#define CHECK_SLICE(is, should)                            \
    do {                                                   \
        assert_int_equal((is).size, strlen(should));       \
        assert_memory_equal((is).data, should, (is).size); \
    } while (0)
/* A test that is a plain function: HOLDS(a_lease_is_exclusive). */
#define HOLDS(function) cmocka_unit_test(function##_holds)
#define TEST(function) static void function##_holds(void **state_)
#define UNUSED (void)state_
