#pragma once
/* Where a request that a stranger asked for may not go. Pure: addresses in, a verdict out. */
#include "common/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum address_kind {
    ADDRESS_PUBLIC,
    ADDRESS_LOOPBACK,
    ADDRESS_LINK_LOCAL,
    ADDRESS_UNSPECIFIED,
    ADDRESS_MULTICAST,
    ADDRESS_RESERVED, /* broadcast too */
    ADDRESS_PRIVATE,
    ADDRESS_UNKNOWN /* neither IPv4 nor IPv6 */
};

/* An IPv6 address that stands for an IPv4 one (mapped, compatible, NAT64, 6to4, ISATAP) is what
 * that is. */
enum address_kind address_kind(const struct sockaddr *address);
/* "a loopback address". */
const char *address_kind_text(enum address_kind kind);

/* Is it, or the host as the URL names it, in the list? That is addresses, networks (10.1.0.0/16)
 * and host names, separated by commas. */
bool address_listed(const char *list, struct slice host, const struct sockaddr *address);

/* Who a request is for, and what it may reach beside public addresses. */
struct address_rule {
    const char *what;  /* "callbacks" */
    const char *allow; /* callback.allow, see address_listed() */
    bool owned;        /* by a user: private addresses are not for them */
};
enum { ADDRESS_WHY = 256 };
/* May it go there? False: ret_why is a sentence, about the host as the URL names it. */
bool address_allowed(const struct address_rule *rule, struct slice host,
                     const struct sockaddr *address, char ret_why[ADDRESS_WHY]);
/* The first entry of a list that is none of these, borrowed from the list; empty: all are fine. */
struct slice address_list_wrong(const char *list);
