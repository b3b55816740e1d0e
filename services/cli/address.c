#include "services/cli/address.h"

#include "common/scoped.h"
#include "common/slice.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 256, ANSWER_MS = 50 };

static bool resolve(const char *host, const char *port, struct address *ret_address)
{
    struct addrinfo *found = NULL;
    const struct addrinfo wanted = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                     .ai_socktype = SOCK_STREAM };
    if (strcmp(host, "localhost") == 0) /* not ::1, which there may be no way to bind to */
        host = "127.0.0.1";
    if (getaddrinfo(host, port, &wanted, &found))
        return false;
    struct address address = { .size = found->ai_addrlen };
    memcpy(&address.name, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    *ret_address = address;
    return true;
}

/* getaddrinfo() takes 99999 for 34463. */
static bool is_port(const char *text)
{
    char *end;
    return *text >= '0' && *text <= '9' && strtoul(text, &end, 10) <= UINT16_MAX && !*end;
}

bool address_find(const char *text, struct address *ret_address)
{
    char host[HOST_MAX];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return false;
    struct slice part = slice_make(text, (size_t)(colon - text));
    bool bracket = text[0] == '[' && colon[-1] == ']';
    if (bracket)
        part = slice_make(text + 1, part.size - 2);
    else if (memchr(text, ':', part.size)) /* IPv6, in which the port could not be told apart */
        return false;
    return is_port(colon + 1) && slice_copy(part, host, sizeof host) &&
           resolve(host, colon + 1, ret_address);
}

static int bind_to(int fd, struct address *address)
{
    struct address bound = { .size = sizeof bound.name };
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (const struct sockaddr *)&address->name, address->size) ||
        getsockname(fd, (struct sockaddr *)&bound.name, &bound.size))
        return -errno;
    *address = bound;
    return 0;
}

int address_hold(struct address *address, int *ret_fd)
{
    int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = bind_to(fd, address);
    if (r)
        (void)close(fd);
    else
        *ret_fd = fd;
    return r;
}

bool address_answers(const struct address *address)
{
    int error = 0;
    socklen_t size = sizeof error;
    scoped_fd int fd =
        socket(address->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)&address->name, address->size) == 0)
        return true;
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    return errno == EINPROGRESS && poll(&wait, 1, ANSWER_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

const char *address_print(const struct address *address, char text[ADDRESS_TEXT])
{
    char host[ADDRESS_TEXT - 10] = "?";
    char port[6] = "?";
    (void)getnameinfo((const struct sockaddr *)&address->name, address->size, host, sizeof host,
                      port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    bool v6 = address->name.ss_family == AF_INET6;
    (void)snprintf(text, ADDRESS_TEXT, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    return text;
}
