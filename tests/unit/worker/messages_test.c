#include "services/worker/messages.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/schema.h"
#include "tests/unit/test.h"

#include <stdlib.h>

#define PROGRESS "\x81\xa8progress\xcb\x3f\xe0\0\0\0\0\0\0" /* 0.5 */
#define OUTPUT               \
    "\x82\xa6output\x81\xa1" \
    "a\x01\xa5"              \
    "files\x91\x92\xa1x\xa1y"
#define ERROR                                \
    "\x81\xa5"                               \
    "error\x83\xa4"                          \
    "code\xa9NOT_FOUND\xa7message\xa2no\xa5" \
    "field\xa1"                              \
    "f"

TEST(progress_is_followed_by_a_result)
{
    UNUSED;
    scoped_in(messages) m = { 0 };
    CHECK_INT(messages_read(&m, SLICE(PROGRESS PROGRESS OUTPUT)), 0);
    CHECK(m.progress > 0.49 && m.progress < 0.51);
    CHECK_INT(m.result, MESSAGES_OUTPUT);
    CHECK_SLICE(m.output, "\x81\xa1"
                          "a\x01");
    CHECK_SLICE(m.files, "\x91\x92\xa1x\xa1y");
    CHECK_INT(messages_end(&m), 0);
}

TEST(pieces_of_any_size_are_put_together)
{
    UNUSED;
    static const char all[] = PROGRESS PROGRESS ERROR;
    for (size_t step = 1; step < sizeof all; step++) {
        scoped_in(messages) m = { 0 };
        for (size_t at = 0; at + 1 < sizeof all; at += step) {
            size_t left = sizeof all - 1 - at;
            /* in memory of its own, so that reading past it is seen */
            char *piece = malloc(step);
            memcpy(piece, all + at, left < step ? left : step);
            CHECK_INT(messages_read(&m, slice_make(piece, left < step ? left : step)), 0);
            free(piece);
        }
        CHECK_INT(m.result, MESSAGES_ERROR);
        CHECK_SLICE(m.code, "NOT_FOUND");
        CHECK_SLICE(m.message, "no");
        CHECK_SLICE(m.field, "f");
    }
}

TEST(what_follows_a_result_is_passed_over)
{
    UNUSED;
    scoped_in(messages) m = { 0 };
    CHECK_INT(messages_read(&m, SLICE("\x81\xa7skipped\x80\xc1\xc1")), 0);
    CHECK_INT(messages_read(&m, SLICE("\xc1")), 0);
    CHECK_INT(m.result, MESSAGES_SKIPPED);
    CHECK_INT(messages_end(&m), 0);
}

TEST(progress_is_kept_within_its_bounds)
{
    UNUSED;
    static const struct {
        struct slice bytes;
        double should;
    } rows[] = {
        { SLICE_INIT("\x81\xa8progress\x05"), 1 },
        { SLICE_INIT("\x81\xa8progress\xff"), 0 },
        { SLICE_INIT("\x81\xa8progress\xcb\x7f\xf8\0\0\0\0\0\0"), 0 }, /* not a number */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scoped_in(messages) m = { .progress = 0.7 };
        CHECK_INT(messages_read(&m, rows[i].bytes), 0);
        assert_float_equal(m.progress, rows[i].should, 0);
    }
}

TEST(the_last_checkpoint_counts)
{
    UNUSED;
    scoped_in(messages) m = { 0 };
    CHECK_INT(messages_read(&m, SLICE("\x81\xaa"
                                      "checkpoint\x05" PROGRESS "\x81\xaa"
                                      "checkpoint\xa3two")),
              0);
    CHECK_SLICE(m.checkpoint, "\xa3two");
    CHECK_INT(messages_read(&m, SLICE(OUTPUT)), 0);
    CHECK_SLICE(m.checkpoint, "\xa3two");
    CHECK_INT(m.result, MESSAGES_OUTPUT);
}

TEST(a_checkpoint_is_bounded)
{
    UNUSED;
    static const char head[] = "\x81\xaa"
                               "checkpoint\xc6";
    static char bytes[sizeof head + 4 + CHECKPOINT_MAX];
    for (uint32_t size = CHECKPOINT_MAX - 5; size <= CHECKPOINT_MAX - 4; size++) {
        scoped_in(messages) m = { 0 };
        memcpy(bytes, head, sizeof head - 1);
        for (size_t i = 0; i < 4; i++)
            bytes[sizeof head - 1 + i] = (char)(size >> (24 - 8 * i));
        struct slice all = slice_make(bytes, sizeof head - 1 + 4 + size);
        CHECK_INT(messages_read(&m, all), size + 5 > CHECKPOINT_MAX ? STATUS_TOO_LARGE : 0);
    }
}

TEST(another_attempt_is_asked_for_now_or_later)
{
    UNUSED;
    static const struct {
        struct slice bytes;
        int status;
        enum messages_result result;
        int64_t after_ms;
    } rows[] = {
        { SLICE_INIT("\x81\xa5retry\x80"), 0, MESSAGES_RETRY, -1 },
        { SLICE_INIT("\x81\xa5retry\x81\xa8"
                     "after_ms\x07"),
          0, MESSAGES_RETRY, 7 },
        { SLICE_INIT("\x81\xa5retry\x81\xa8"
                     "after_ms\xff"),
          STATUS_MALFORMED, MESSAGES_RETRY, -1 },
        { SLICE_INIT("\x81\xa5retry\xc0"), STATUS_MALFORMED, MESSAGES_RETRY, -1 },
        { SLICE_INIT("\x81\xa6snooze\x81\xa8"
                     "after_ms\xcd\x03\xe8"),
          0, MESSAGES_SNOOZE, 1000 },
        { SLICE_INIT("\x81\xa6snooze\x80"), STATUS_MALFORMED, MESSAGES_SNOOZE, -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scoped_in(messages) m = { 0 };
        CHECK_INT(messages_read(&m, rows[i].bytes), rows[i].status);
        CHECK_INT(m.result, rows[i].result);
        CHECK_INT(m.after_ms, rows[i].after_ms);
    }
}

TEST(what_is_none_of_the_words_is_malformed)
{
    UNUSED;
    static const struct slice rows[] = {
        SLICE_INIT("\x05"),
        SLICE_INIT("\x80"),
        SLICE_INIT("\x91\xa6output"),
        SLICE_INIT("\x81\xa4what\x05"),
        SLICE_INIT("\x81\xa6output\x05"),
        SLICE_INIT("\x81\xa5"
                   "error\xa2no"),
        SLICE_INIT("\x81\xa7skipped\xc0"),
        SLICE_INIT("\x81\xa8progress\xa1x"),
        SLICE_INIT("\x82\xa6output\x80\xa5"
                   "files\x05"),
        SLICE_INIT("\x81\xa6output\x81\xa1"
                   "a\xa1\xff"), /* no UTF-8 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scoped_in(messages) m = { 0 };
        CHECK_INT(messages_read(&m, rows[i]), STATUS_MALFORMED);
    }
}

TEST(a_half_message_is_an_end_too_soon)
{
    UNUSED;
    scoped_in(messages) m = { 0 };
    CHECK_INT(messages_read(&m, SLICE("\x81\xa6output\x81")), 0);
    CHECK_INT(messages_end(&m), STATUS_MALFORMED);
}

TEST(an_output_is_checked_as_deep_as_it_will_lie)
{
    UNUSED;
    for (int depth = 1; depth < 20; depth++) {
        char bytes[96] = "\x81\xa6output";
        size_t size = 8;
        for (int i = 0; i < depth; i++) {
            memcpy(bytes + size,
                   "\x81\xa1"
                   "a",
                   3);
            size += 3;
        }
        bytes[size++] = 1;
        scoped_in(messages) m = { 0 };
        /* 16 in all: 4 around the message, the message itself */
        CHECK_INT(messages_read(&m, slice_make(bytes, size)), depth <= 11 ? 0 : STATUS_MALFORMED);
    }
}

TEST(a_message_is_bounded_whatever_it_claims)
{
    UNUSED;
    static char big[MESSAGES_OUTPUT_MAX + 1];
    scoped_in(messages) m = { 0 };
    CHECK_INT(messages_read(&m, SLICE("\x81\xa6output\xc6\xff\xff\xff\xff")), 0);
    CHECK_INT(messages_read(&m, slice_make(big, sizeof big)), STATUS_TOO_LARGE);
    CHECK(m.room < 4 * (size_t)MESSAGES_OUTPUT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(progress_is_followed_by_a_result),
        HOLDS(pieces_of_any_size_are_put_together),
        HOLDS(what_follows_a_result_is_passed_over),
        HOLDS(progress_is_kept_within_its_bounds),
        HOLDS(the_last_checkpoint_counts),
        HOLDS(a_checkpoint_is_bounded),
        HOLDS(another_attempt_is_asked_for_now_or_later),
        HOLDS(what_is_none_of_the_words_is_malformed),
        HOLDS(a_half_message_is_an_end_too_soon),
        HOLDS(an_output_is_checked_as_deep_as_it_will_lie),
        HOLDS(a_message_is_bounded_whatever_it_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
