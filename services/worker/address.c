#include "services/worker/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { V4_SIZE = 4, V6_SIZE = 16, ENTRY_MAX = 256 };

/* An address as the bytes of the wire. */
struct bytes {
    uint8_t at[V6_SIZE];
    unsigned size; /* 4, 16, or 0: none */
};

struct network {
    uint8_t at[V6_SIZE];
    unsigned bits;
    enum address_kind kind;
};

/* The first that covers an address says what it is. */
static const struct network v4_networks[] = {
    { { 0 }, 8, ADDRESS_UNSPECIFIED },
    { { 127 }, 8, ADDRESS_LOOPBACK },
    { { 169, 254 }, 16, ADDRESS_LINK_LOCAL },
    { { 224 }, 4, ADDRESS_MULTICAST },
    { { 240 }, 4, ADDRESS_RESERVED },
    { { 10 }, 8, ADDRESS_PRIVATE },
    { { 172, 16 }, 12, ADDRESS_PRIVATE },
    { { 192, 168 }, 16, ADDRESS_PRIVATE },
    { { 100, 100, 100, 200 }, 32, ADDRESS_RESERVED }, /* here clouds talk to their machines, */
    { { 168, 63, 129, 16 }, 32, ADDRESS_RESERVED },   /* and here */
    { { 100, 64 }, 10, ADDRESS_PRIVATE },
    { { 192, 0, 0 }, 24, ADDRESS_RESERVED },
    { { 198, 18 }, 15, ADDRESS_PRIVATE }, /* benchmarks, and whoever lacked addresses */
};

static const struct network v6_networks[] = {
    { { 0 }, 128, ADDRESS_UNSPECIFIED },
    { { [15] = 1 }, 128, ADDRESS_LOOPBACK },
    { { 0xfe, 0x80 }, 10, ADDRESS_LINK_LOCAL },
    { { 0xfe, 0xc0 }, 10, ADDRESS_PRIVATE },           /* site-local, as it was called once */
    { { 0xfd, 0, 0x0e, 0xc2 }, 32, ADDRESS_RESERVED }, /* a cloud to its machines */
    { { 0xfc }, 7, ADDRESS_PRIVATE },
    { { 0xff }, 8, ADDRESS_MULTICAST },
    /* Both lead to IPv4 addresses, which cannot be told from their bytes alone: NAT64 of a
     * network's own making, and Teredo. */
    { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, ADDRESS_RESERVED },
    { { 0x20, 0x01, 0, 0 }, 32, ADDRESS_RESERVED },
};

/* IPv6 addresses that lead to an IPv4 one, and where in them that lies. */
static const struct {
    uint8_t at[V6_SIZE];
    unsigned begin, bits; /* where what they begin with lies, in bytes, and how long it is */
    unsigned offset;
} carriers[] = {
    { { [10] = 0xff, [11] = 0xff }, 0, 96, 12 }, /* mapped */
    { { [8] = 0xff, [9] = 0xff }, 0, 96, 12 },   /* translated */
    { { 0 }, 0, 96, 12 },                        /* compatible */
    { { 0, 0x64, 0xff, 0x9b }, 0, 96, 12 },      /* NAT64 */
    { { 0x20, 0x02 }, 0, 16, 2 },                /* 6to4 */
    { { 0, 0, 0x5e, 0xfe }, 8, 32, 12 },         /* ISATAP, behind any network */
    { { 2, 0, 0x5e, 0xfe }, 8, 32, 12 },
};
enum { CARRIER_MAPPED = 0 };

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    const unsigned whole = bits / 8;
    const unsigned rest = bits % 8;
    const uint8_t mask = (uint8_t)(0xff00U >> rest);
    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static struct bytes bytes_of(const struct sockaddr *address)
{
    struct bytes bytes = { .size = 0 };
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        memcpy(bytes.at, &v4.sin_addr, V4_SIZE);
        bytes.size = V4_SIZE;
    } else if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        memcpy(bytes.at, &v6.sin6_addr, V6_SIZE);
        bytes.size = V6_SIZE;
    }
    return bytes;
}

static enum address_kind kind_in(const struct network *networks, size_t count, const uint8_t *at)
{
    for (size_t i = 0; i < count; i++)
        if (same_bits(at, networks[i].at, networks[i].bits))
            return networks[i].kind;
    return ADDRESS_PUBLIC;
}

static enum address_kind v4_kind(const uint8_t *at)
{
    return kind_in(v4_networks, sizeof v4_networks / sizeof v4_networks[0], at);
}

enum address_kind address_kind(const struct sockaddr *address)
{
    const struct bytes bytes = bytes_of(address);
    if (bytes.size == 0)
        return ADDRESS_UNKNOWN;
    if (bytes.size == V4_SIZE)
        return v4_kind(bytes.at);
    enum address_kind kind =
        kind_in(v6_networks, sizeof v6_networks / sizeof v6_networks[0], bytes.at);
    for (size_t i = 0; kind == ADDRESS_PUBLIC && i < sizeof carriers / sizeof carriers[0]; i++)
        if (same_bits(bytes.at + carriers[i].begin, carriers[i].at, carriers[i].bits))
            kind = v4_kind(bytes.at + carriers[i].offset);
    return kind;
}

const char *address_kind_text(enum address_kind kind)
{
    static const char *const texts[] = {
        [ADDRESS_PUBLIC] = "a public address",
        [ADDRESS_LOOPBACK] = "a loopback address",
        [ADDRESS_LINK_LOCAL] = "a link-local address",
        [ADDRESS_UNSPECIFIED] = "an unspecified address",
        [ADDRESS_MULTICAST] = "a multicast address",
        [ADDRESS_RESERVED] = "a broadcast or reserved address",
        [ADDRESS_PRIVATE] = "a private address",
        [ADDRESS_UNKNOWN] = "no internet address",
    };
    return texts[kind];
}

/* ---- the list -------------------------------------------------------------------------------- */

enum entry_kind { ENTRY_WRONG, ENTRY_NETWORK, ENTRY_NAME };

struct entry {
    enum entry_kind kind;
    struct slice text;
    struct bytes bytes; /* of a network, as the next */
    unsigned bits;
};

static struct slice trimmed(struct slice text)
{
    const char *at = text.data;
    while (text.size && at[text.size - 1] == ' ')
        text.size--;
    while (text.size && *at == ' ') {
        at++;
        text.size--;
    }
    return slice_make(at, text.size);
}

static struct bytes parsed(struct slice text)
{
    struct bytes bytes = { .size = 0 };
    const char *at = text.data;
    char copy[INET6_ADDRSTRLEN];
    if (text.size > 2 && at[0] == '[' && at[text.size - 1] == ']')
        text = slice_make(at + 1, text.size - 2);
    if (!slice_copy(text, copy, sizeof copy))
        return bytes;
    if (inet_pton(AF_INET, copy, bytes.at) == 1)
        bytes.size = V4_SIZE;
    else if (inet_pton(AF_INET6, copy, bytes.at) == 1)
        bytes.size = V6_SIZE;
    return bytes;
}

/* False when it is no whole number up to most. */
static bool read_bits(struct slice text, unsigned most, unsigned *ret_bits)
{
    char copy[4];
    if (text.size == 0 || !slice_copy(text, copy, sizeof copy) ||
        strspn(copy, "0123456789") != text.size)
        return false;
    const unsigned long bits = strtoul(copy, NULL, 10);
    if (bits > most)
        return false;
    *ret_bits = (unsigned)bits;
    return true;
}

static bool is_name(struct slice text)
{
    const char *at = text.data;
    for (size_t i = 0; i < text.size; i++)
        if (at[i] <= ' ' || at[i] > '~' || strchr("/:@[]?#", at[i]))
            return false;
    return text.size > 0 && text.size < ENTRY_MAX;
}

static struct entry entry_of(struct slice text)
{
    struct slice bits;
    const struct slice address = slice_until(text, '/', &bits);
    struct entry entry = { .kind = ENTRY_WRONG, .text = text, .bytes = parsed(address) };
    const unsigned most = 8 * entry.bytes.size;
    entry.bits = most;
    if (bits.data)
        entry.kind = most && read_bits(bits, most, &entry.bits) ? ENTRY_NETWORK : ENTRY_WRONG;
    else if (most)
        entry.kind = ENTRY_NETWORK;
    else if (is_name(text))
        entry.kind = ENTRY_NAME;
    return entry;
}

/* The next entry that is not empty; false at the end. */
static bool next_entry(struct slice *list, struct entry *ret_entry)
{
    while (list->data && list->size) {
        const struct slice text = trimmed(slice_until(*list, ',', list));
        if (text.size == 0)
            continue;
        *ret_entry = entry_of(text);
        return true;
    }
    return false;
}

static bool covers(const struct entry *entry, const struct bytes *bytes)
{
    return entry->bytes.size == bytes->size && same_bits(entry->bytes.at, bytes->at, entry->bits);
}

bool address_listed(const char *list, struct slice host, const struct sockaddr *address)
{
    const struct bytes bytes = bytes_of(address);
    struct bytes inner = bytes;
    struct slice left = slice_of(list);
    struct entry entry;
    if (bytes.size == V6_SIZE &&
        same_bits(bytes.at, carriers[CARRIER_MAPPED].at, carriers[CARRIER_MAPPED].bits)) {
        inner.size = V4_SIZE;
        memcpy(inner.at, bytes.at + carriers[CARRIER_MAPPED].offset, V4_SIZE);
    }
    while (next_entry(&left, &entry)) {
        if (entry.kind == ENTRY_NETWORK && (covers(&entry, &bytes) || covers(&entry, &inner)))
            return true;
        if (entry.kind == ENTRY_NAME && entry.text.size == host.size &&
            strncasecmp(entry.text.data, host.data, host.size) == 0)
            return true;
    }
    return false;
}

bool address_allowed(const struct address_rule *rule, struct slice host,
                     const struct sockaddr *address, char ret_why[ADDRESS_WHY])
{
    const enum address_kind kind = address_kind(address);
    if (kind == ADDRESS_PUBLIC || (kind == ADDRESS_PRIVATE && !rule->owned) ||
        address_listed(rule->allow, host, address))
        return true;
    /* Not which address the name stands for: that may be for this network alone to know. */
    (void)snprintf(
        ret_why, ADDRESS_WHY, "%s%s may not go to %.*s, %s; callback.allow can name exceptions",
        rule->what, kind == ADDRESS_PRIVATE ? " of users" : "",
        (int)(host.size < 100 ? host.size : 100), (const char *)host.data, address_kind_text(kind));
    return false;
}

struct slice address_list_wrong(const char *list)
{
    struct slice left = slice_of(list);
    struct entry entry;
    while (next_entry(&left, &entry))
        if (entry.kind == ENTRY_WRONG)
            return entry.text;
    return (struct slice){ 0 };
}
