#include "tests/unit/test.h"

#include "common/scoped.h"
#include "services/state/command.h"
#include "services/state/sid.h"

TEST(a_command_is_written_as_resp)
{
    UNUSED;
    scoped_in(command) command = { 0 };
    command_begin(&command);
    command_text(&command, "SET");
    command_arg(&command, slice_make("a\0b", 3));
    command_whole(&command, 18446744073709551615u);
    command_arg(&command, (struct slice){ 0 });
    struct slice text = command_end(&command);
    static const char should[] =
        "*4\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$20\r\n18446744073709551615\r\n$0\r\n\r\n";
    CHECK_INT(text.size, sizeof should - 1);
    assert_memory_equal(text.data, should, text.size);

    command_begin(&command);
    command_text(&command, "PING");
    text = command_end(&command);
    CHECK_SLICE(text, "*1\r\n$4\r\nPING\r\n");
}

TEST(a_command_grows_and_shrinks_again)
{
    UNUSED;
    scoped_in(command) command = { 0 };
    char *large = calloc(1, 1 << 20);
    CHECK(large);
    command_begin(&command);
    for (int i = 0; i < 3000; i++)
        command_text(&command, "x");
    command_arg(&command, slice_make(large, 1 << 20));
    struct slice text = command_end(&command);
    CHECK_INT(memcmp(text.data, "*3001\r\n", 7), 0);
    CHECK(text.size > 1 << 20);
    command_begin(&command);
    CHECK(command.room < 1 << 20);
    free(large);
}

TEST(an_empty_command_is_none)
{
    UNUSED;
    struct command command = { 0 };
    CHECK(!command_end(&command).data);
}

TEST(a_session_reads_as_hex)
{
    UNUSED;
    char text[SID_TEXT];
    uint8_t session[16];
    for (size_t i = 0; i < sizeof session; i++)
        session[i] = (uint8_t)(i * 17);
    CHECK_TEXT(sid_text(slice_make(session, 16), text), "00112233445566778899aabbccddeeff");
    CHECK_TEXT(sid_text(slice_make(session, 15), text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_command_is_written_as_resp),
        HOLDS(a_command_grows_and_shrinks_again),
        HOLDS(an_empty_command_is_none),
        HOLDS(a_session_reads_as_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
