#include "services/front/guard.h"

#include "tests/unit/test.h"

struct header {
    const char *name, *value;
};

static const char *wrong_with(const char *version, const struct header *headers)
{
    struct guard guard = { 0 };
    for (; headers->name; headers++)
        guard_header(&guard, slice_of(headers->name), slice_of(headers->value));
    guard_end(&guard, version);
    return guard.wrong;
}

#define WRONG(...) wrong_with("HTTP/1.1", (const struct header[]){ __VA_ARGS__, { 0 } })

TEST(what_is_in_order_passes)
{
    UNUSED;
    CHECK(!WRONG({ "Host", "a" }));
    CHECK(!WRONG({ "host", "a" }, { "content-length", "10" }, { "X_a.b-c~!", "\t\xc3\xa9" }));
    CHECK(!WRONG({ "Host", "a" }, { "Transfer-Encoding", "Chunked" }));
    CHECK(!WRONG({ "Host", "" }));
    CHECK(!wrong_with("HTTP/1.0", (const struct header[]){ { 0 } }));
}

TEST(what_two_servers_may_read_in_two_ways_does_not)
{
    UNUSED;
    CHECK_TEXT(WRONG({ "Host", "a" }, { "HOST", "a" }), "there are several Host headers");
    CHECK_TEXT(WRONG({ "Host", "a" }, { "Content-Length", "1" }, { "content-length", "1" }),
               "there are several Content-Length headers");
    CHECK_TEXT(
        WRONG({ "Host", "a" }, { "Content-Length", "1" }, { "Transfer-Encoding", "chunked" }),
        "there are both Content-Length and Transfer-Encoding");
    CHECK_TEXT(WRONG({ "Host", "a" }, { "Transfer-Encoding", "gzip, chunked" }),
               "Transfer-Encoding is not chunked");
    CHECK_TEXT(WRONG({ "Host", "a" }, { "Transfer-Encoding", "chunked" },
                     { "Transfer-Encoding", "chunked" }),
               "Transfer-Encoding is not chunked");
    CHECK_TEXT(WRONG({ "X", "a" }), "there is no Host header");
    CHECK_TEXT(wrong_with("HTTP/1.0",
                          (const struct header[]){ { "Transfer-Encoding", "chunked" }, { 0 } }),
               "HTTP/1.0 knows no Transfer-Encoding");
}

TEST(a_length_is_digits)
{
    UNUSED;
    static const char *const bad[] = { "",    "-1",  "+1",
                                       "1,1", "0x1", "1 1",
                                       "1e",  " 1",  "9999999999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_TEXT(WRONG({ "Host", "a" }, { "Content-Length", bad[i] }),
                   "Content-Length is no number");
    struct guard guard = { 0 };
    guard_header(&guard, SLICE("Content-Length"), SLICE("999999999999999999 "));
    CHECK(!guard.wrong);
    CHECK(guard.length == 999999999999999999);
}

TEST(names_and_values_have_characters_that_are_allowed)
{
    UNUSED;
    static const char *const bad[] = { "", "X A", "X ", " X", "X\xc3\xa9", "X:", "X(", "X\x7f" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_TEXT(WRONG({ "Host", "a" }, { bad[i], "x" }),
                   "a header's name has a character that it may not have");
    CHECK_TEXT(WRONG({ "Host", "a" }, { "X", "a\rb" }), "a header's value has a control character");
    CHECK_TEXT(WRONG({ "Host", "a" }, { "X", "\x7f" }), "a header's value has a control character");
    struct guard guard = { 0 };
    guard_header(&guard, SLICE("X"), SLICE("a\0b"));
    CHECK_TEXT(guard.wrong, "a header's value has a control character");
}

TEST(other_versions_are_not_spoken)
{
    UNUSED;
    static const char *const bad[] = { "HTTP/2.0", "HTTP/0.9", "", "http/1.1", "HTTP/1.10" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_TEXT(wrong_with(bad[i], (const struct header[]){ { "Host", "a" }, { 0 } }),
                   "the version is neither HTTP/1.1 nor HTTP/1.0");
}

TEST(headers_have_a_bound)
{
    UNUSED;
    struct guard guard = { 0 };
    for (int i = 0; i < GUARD_HEADERS_MAX; i++)
        guard_header(&guard, SLICE("X"), SLICE("y"));
    CHECK(!guard.wrong);
    guard_header(&guard, SLICE("X"), SLICE("y"));
    CHECK_TEXT(guard.wrong, "there are too many headers");
}

static bool block_passes(struct slice block, unsigned headers)
{
    struct guard guard = { .headers = headers };
    guard_block(&guard, block);
    return !guard.wrong;
}

TEST(raw_lines_end_as_they_should)
{
    UNUSED;
    CHECK(block_passes(SLICE("\0\0Host\0 a\0\0\0\0"), 1));
    CHECK(block_passes(SLICE("\0\0A\0\0\0B\0x\0\0\0\0"), 2)); /* a value may be empty */
    CHECK(block_passes(SLICE("\0\0\0\0"), 0));
    CHECK(block_passes(SLICE(""), 7)); /* where it cannot be had */
}

TEST(raw_lines_that_end_otherwise_are_told)
{
    UNUSED;
    static const char wrong[] = "a header's line does not end in CR LF, is folded, or has a NUL";
    static const struct {
        struct slice block;
        unsigned headers;
    } rows[] = {
        { SLICE_INIT("\0Host\0 a\0\0\0\0"), 1 },            /* the request line's LF is bare */
        { SLICE_INIT("\0\0Host\0 a\0B\0 b\0\0\0\0"), 2 },   /* a header's */
        { SLICE_INIT("\0\0Host\0 a\0\0\0"), 1 },            /* the last one */
        { SLICE_INIT("\0\0Host\0 a\0\0 x: y\0\0\0\0"), 1 }, /* folded */
        { SLICE_INIT("\0\0Host\0 a\0b\0\0\0\0"), 1 },       /* a NUL in a value */
        { SLICE_INIT("\0\0Host\0 a\0\0B\0 b\0\0\0\0"), 1 }, /* NULs that look like a line's end */
        { SLICE_INIT("\0\0Host\0 a"), 1 },
        { SLICE_INIT("\0\0"), 0 },
        { SLICE_INIT("\0"), 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct guard guard = { .headers = rows[i].headers };
        guard_block(&guard, rows[i].block);
        CHECK(guard.wrong);
        CHECK_TEXT(guard.wrong, wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(what_is_in_order_passes),
        HOLDS(what_two_servers_may_read_in_two_ways_does_not),
        HOLDS(a_length_is_digits),
        HOLDS(names_and_values_have_characters_that_are_allowed),
        HOLDS(other_versions_are_not_spoken),
        HOLDS(headers_have_a_bound),
        HOLDS(raw_lines_end_as_they_should),
        HOLDS(raw_lines_that_end_otherwise_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
