#include "services/front/listener.h"

#include "common/status.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

TEST(addresses_with_ports_are_read)
{
    UNUSED;
    struct sockaddr_storage address = { 0 };
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    char error[LISTENER_ERROR] = "";
    CHECK_INT(listener_parse("127.0.0.1:8788", false, &address, error), 0);
    CHECK_INT(v4->sin_family, AF_INET);
    CHECK_INT(ntohl(v4->sin_addr.s_addr), 0x7f000001);
    CHECK_INT(ntohs(v4->sin_port), 8788);
    CHECK_INT(listener_parse("localhost:0", false, &address, error), 0);
    CHECK_INT(ntohs(v4->sin_port), 0);
    CHECK_INT(listener_parse("[::1]:65535", false, &address, error), 0);
    CHECK_INT(v6->sin6_family, AF_INET6);
    CHECK_INT(ntohs(v6->sin6_port), 65535);
    CHECK_TEXT(error, "");
}

TEST(others_are_let_in_on_purpose_only)
{
    UNUSED;
    static const char *const open[] = { "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1" };
    struct sockaddr_storage address;
    char error[LISTENER_ERROR];
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        CHECK_INT(listener_parse(open[i], false, &address, error), STATUS_DENIED);
        CHECK(strstr(error, "can be reached by others and nothing is encrypted"));
        CHECK(strstr(error, "front.insecure"));
        CHECK_INT(listener_parse(open[i], true, &address, error), 0);
    }
    CHECK_INT(listener_parse("127.9.9.9:1", false, &address, error), 0);
}

TEST(what_is_none_is_refused)
{
    UNUSED;
    static const char *const bad[] = {
        "",          ":80",          "127.0.0.1",    "127.0.0.1:",
        "::1:80",    "[::1]",        "[]:1",         "[127.0.0.1]:1",
        "a.b:80",    "1.2.3:80",     "127.0.0.1:x",  "127.0.0.1:65536",
        "[::1:80",   "127.0.0.1:-1", "127.0.0.1: 1", "127.0.0.1:000080",
        "[::1%lo]:1"
    };
    struct sockaddr_storage address;
    char error[LISTENER_ERROR];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(listener_parse(bad[i], true, &address, error), STATUS_INVALID);
        CHECK(strstr(error, "ADDRESS:PORT"));
    }
}

TEST(port_0_becomes_a_free_one_and_a_taken_one_is_told)
{
    UNUSED;
    struct settings settings = { .front_http = "127.0.0.1:0", .front_tls_cert = "" };
    char where[LISTENER_TEXT] = "", again[LISTENER_TEXT], error[LISTENER_ERROR];
    int fd = -1, second = -1;
    CHECK_INT(listener_open(&settings, &fd, where, error), 0);
    CHECK(strncmp(where, "127.0.0.1:", 10) == 0 && where[10] != '0');
    settings.front_http = where;
    CHECK_INT(listener_open(&settings, &second, again, error), -EADDRINUSE);
    CHECK(strstr(error, "cannot listen on 127.0.0.1:"));
    CHECK_INT(second, -1);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(addresses_with_ports_are_read),
        HOLDS(others_are_let_in_on_purpose_only),
        HOLDS(what_is_none_is_refused),
        HOLDS(port_0_becomes_a_free_one_and_a_taken_one_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
