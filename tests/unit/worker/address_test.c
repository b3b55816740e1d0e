#include "services/worker/address.h"

#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <stdio.h>

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage address = { .ss_family = AF_INET };
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&address, &v4, sizeof v4);
    } else {
        CHECK_INT(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        memcpy(&address, &v6, sizeof v6);
    }
    return address;
}

static bool listed(const char *list, const char *host, const char *text)
{
    const struct sockaddr_storage address = address_of(text);
    return address_listed(list, slice_of(host), (const struct sockaddr *)&address);
}

TEST(addresses_are_of_their_kind)
{
    UNUSED;
    static const struct {
        const char *text;
        enum address_kind kind;
    } rows[] = {
        { "8.8.8.8", ADDRESS_PUBLIC },
        { "126.255.255.255", ADDRESS_PUBLIC },
        { "128.0.0.1", ADDRESS_PUBLIC },
        { "2606:4700::1111", ADDRESS_PUBLIC },
        { "127.0.0.1", ADDRESS_LOOPBACK },
        { "127.255.255.255", ADDRESS_LOOPBACK },
        { "::1", ADDRESS_LOOPBACK },
        { "::ffff:127.0.0.1", ADDRESS_LOOPBACK },
        { "::127.0.0.1", ADDRESS_LOOPBACK },
        { "::ffff:0:127.0.0.1", ADDRESS_LOOPBACK },
        { "64:ff9b::7f00:1", ADDRESS_LOOPBACK },
        { "64:ff9b:1::7f00:1", ADDRESS_RESERVED },
        { "64:ff9b:1:a9fe:a9:fe00:808:808", ADDRESS_RESERVED }, /* 169.254.169.254 in a /48 */
        { "64:ff9b:2::7f00:1", ADDRESS_PUBLIC },
        { "2001:0:7f00:1::80ff:fffe", ADDRESS_RESERVED },
        { "2001:1::1", ADDRESS_PUBLIC },
        { "2606:4700::5efe:7f00:1", ADDRESS_LOOPBACK },
        { "2606:4700::200:5efe:a9fe:a9fe", ADDRESS_LINK_LOCAL },
        { "2606:4700::5efe:808:808", ADDRESS_PUBLIC },
        { "2606:4700::100:5efe:7f00:1", ADDRESS_PUBLIC },
        { "2002:7f00:1::", ADDRESS_LOOPBACK },
        { "169.254.169.254", ADDRESS_LINK_LOCAL },
        { "169.255.0.1", ADDRESS_PUBLIC },
        { "fe80::1", ADDRESS_LINK_LOCAL },
        { "febf::1", ADDRESS_LINK_LOCAL },
        { "::ffff:169.254.169.254", ADDRESS_LINK_LOCAL },
        { "64:ff9b::a9fe:a9fe", ADDRESS_LINK_LOCAL },
        { "2002:a9fe:a9fe::1", ADDRESS_LINK_LOCAL },
        { "0.0.0.0", ADDRESS_UNSPECIFIED },
        { "0.1.2.3", ADDRESS_UNSPECIFIED },
        { "::", ADDRESS_UNSPECIFIED },
        { "::2", ADDRESS_UNSPECIFIED },
        { "::ffff:0.0.0.0", ADDRESS_UNSPECIFIED },
        { "224.0.0.1", ADDRESS_MULTICAST },
        { "239.255.255.255", ADDRESS_MULTICAST },
        { "ff02::1", ADDRESS_MULTICAST },
        { "::ffff:224.0.0.1", ADDRESS_MULTICAST },
        { "255.255.255.255", ADDRESS_RESERVED },
        { "240.0.0.1", ADDRESS_RESERVED },
        { "::ffff:255.255.255.255", ADDRESS_RESERVED },
        { "100.100.100.200", ADDRESS_RESERVED },
        { "100.100.100.201", ADDRESS_PRIVATE },
        { "168.63.129.16", ADDRESS_RESERVED },
        { "168.63.129.17", ADDRESS_PUBLIC },
        { "192.0.0.192", ADDRESS_RESERVED },
        { "192.0.1.1", ADDRESS_PUBLIC },
        { "198.18.0.1", ADDRESS_PRIVATE },
        { "198.19.255.255", ADDRESS_PRIVATE },
        { "198.20.0.1", ADDRESS_PUBLIC },
        { "fd00:ec2::254", ADDRESS_RESERVED },
        { "fd00:ec3::254", ADDRESS_PRIVATE },
        { "10.0.0.1", ADDRESS_PRIVATE },
        { "172.16.0.1", ADDRESS_PRIVATE },
        { "172.31.255.255", ADDRESS_PRIVATE },
        { "172.32.0.1", ADDRESS_PUBLIC },
        { "192.168.1.1", ADDRESS_PRIVATE },
        { "192.169.0.1", ADDRESS_PUBLIC },
        { "100.64.0.1", ADDRESS_PRIVATE },
        { "100.127.255.255", ADDRESS_PRIVATE },
        { "100.128.0.1", ADDRESS_PUBLIC },
        { "fc00::1", ADDRESS_PRIVATE },
        { "fdff::1", ADDRESS_PRIVATE },
        { "fec0::1", ADDRESS_PRIVATE },
        { "::ffff:10.0.0.1", ADDRESS_PRIVATE },
        { "::10.0.0.1", ADDRESS_PRIVATE },
        { "64:ff9b::a00:1", ADDRESS_PRIVATE },
        { "2002:c0a8:101::", ADDRESS_PRIVATE },
        { "::ffff:8.8.8.8", ADDRESS_PUBLIC },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct sockaddr_storage address = address_of(rows[i].text);
        if (address_kind((const struct sockaddr *)&address) != rows[i].kind)
            fail_msg("%s is not %s", rows[i].text, address_kind_text(rows[i].kind));
    }
    const struct sockaddr_storage local = { .ss_family = AF_UNIX };
    CHECK_INT(address_kind((const struct sockaddr *)&local), ADDRESS_UNKNOWN);
}

TEST(a_refusal_names_the_host_and_not_what_it_stands_for)
{
    UNUSED;
    char why[ADDRESS_WHY] = "";
    const struct address_rule rule = { "downloads", "10.0.0.2", true };
    struct sockaddr_storage address = address_of("10.0.0.1");
    CHECK(!address_allowed(&rule, SLICE("inside"), (const struct sockaddr *)&address, why));
    CHECK_TEXT(why, "downloads of users may not go to inside, a private address; callback.allow "
                    "can name exceptions");
    address = address_of("10.0.0.2");
    CHECK(address_allowed(&rule, SLICE("inside"), (const struct sockaddr *)&address, why));
}

TEST(the_list_names_addresses_networks_and_hosts)
{
    UNUSED;
    const char *list = " 127.0.0.1, 10.1.0.0/16,[::1],fd00::/8 ,hooks.internal,10.9.9.9/32,";
    CHECK(listed(list, "x", "127.0.0.1"));
    CHECK(listed(list, "x", "::ffff:127.0.0.1"));
    CHECK(!listed(list, "x", "127.0.0.2"));
    CHECK(listed(list, "x", "10.1.255.255"));
    CHECK(listed(list, "x", "::ffff:10.1.2.3"));
    CHECK(!listed(list, "x", "10.2.0.0"));
    CHECK(listed(list, "x", "10.9.9.9"));
    CHECK(!listed(list, "x", "10.9.9.8"));
    CHECK(listed(list, "x", "::1"));
    CHECK(listed(list, "x", "fd12::1"));
    CHECK(!listed(list, "x", "fe12::1"));
    CHECK(listed(list, "hooks.internal", "192.168.0.1"));
    CHECK(listed(list, "HOOKS.internal", "169.254.1.1"));
    CHECK(!listed(list, "a.hooks.internal", "192.168.0.1"));
    CHECK(!listed(list, "hooks.interna", "192.168.0.1"));
    CHECK(!listed("", "", "127.0.0.1"));
    CHECK(listed("0.0.0.0/0", "x", "127.0.0.1"));
    CHECK(!listed("0.0.0.0/0", "x", "::1"));
    CHECK(listed("::/0", "x", "::1"));
    CHECK(listed("::ffff:10.0.0.0/104", "x", "::ffff:10.2.3.4"));
}

TEST(entries_that_are_none_are_told)
{
    UNUSED;
    static const char *const wrong[] = { "10.0.0.0/33", "10.0.0.0/",    "10.0.0.0/x", "host/8",
                                         "::1/129",     "http://a/b",   "a b",        "a:80",
                                         "10.0.0.0/-1", "10.0.0.0/0008" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char list[64];
        (void)snprintf(list, sizeof list, "127.0.0.1, %s, x", wrong[i]);
        CHECK_SLICE(address_list_wrong(list), wrong[i]);
        CHECK(!listed(list, wrong[i], "10.0.0.0"));
    }
    CHECK_INT(address_list_wrong("").size, 0);
    CHECK_INT(address_list_wrong("127.0.0.1,::1,[::1],10.0.0.0/8,fd00::/8,a-b.example.com").size,
              0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(addresses_are_of_their_kind),
        HOLDS(a_refusal_names_the_host_and_not_what_it_stands_for),
        HOLDS(the_list_names_addresses_networks_and_hosts),
        HOLDS(entries_that_are_none_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
