#include "services/front/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/slice.h"
#include "common/status.h"

__attribute__((format(printf, 3, 4))) static int say(int result, char error[LISTENER_ERROR],
                                                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, LISTENER_ERROR, format, args);
    va_end(args);
    return result;
}

/* What the kernel keeps for a peer that does not read: by itself it would take megabytes. */
enum { SEND_BYTES = 128 << 10 };

static bool port_of(const char *text, in_port_t *ret_port)
{
    const size_t size = strlen(text);
    if (size == 0 || size > 5 || strspn(text, "0123456789") != size)
        return false;
    const long port = strtol(text, NULL, 10);
    *ret_port = htons((in_port_t)port);
    return port <= UINT16_MAX;
}

static bool host_of(const char *host, bool bracketed, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
    if (bracketed) {
        v6->sin6_family = AF_INET6;
        return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) ==
           1;
}

static bool loopback(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    return address->ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)
                                          : ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

static bool parse(const char *text, struct sockaddr_storage *ret_address)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    in_port_t port = 0;
    if (!colon || !port_of(colon + 1, &port))
        return false;
    struct slice name = slice_make(text, (size_t)(colon - text));
    const bool bracketed = name.size > 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed)
        name = slice_make(text + 1, name.size - 2);
    if (!slice_copy(name, host, sizeof host) || !host_of(host, bracketed, ret_address))
        return false;
    if (bracketed)
        ((struct sockaddr_in6 *)ret_address)->sin6_port = port;
    else
        ((struct sockaddr_in *)ret_address)->sin_port = port;
    return true;
}

int listener_parse(const char *address, bool secure, struct sockaddr_storage *ret_address,
                   char error[LISTENER_ERROR])
{
    struct sockaddr_storage parsed = { 0 };
    if (!parse(address, &parsed))
        return say(STATUS_INVALID, error,
                   "\"%s\" is no ADDRESS:PORT: 127.0.0.1:8788 or [::1]:8788 is expected", address);
    if (!secure && !loopback(&parsed))
        return say(STATUS_DENIED, error,
                   "%s can be reached by others and nothing is encrypted: bind to 127.0.0.1, set "
                   "front.tls_cert and front.tls_key, or set front.insecure to true",
                   address);
    *ret_address = parsed;
    return 0;
}

static void name_of(int fd, char where[LISTENER_TEXT])
{
    struct sockaddr_storage bound = { 0 };
    socklen_t size = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";
    (void)getsockname(fd, (struct sockaddr *)&bound, &size);
    (void)getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(where, LISTENER_TEXT, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                   port);
}

static int bind_there(int fd, const struct sockaddr_storage *address)
{
    const int yes = 1, room = SEND_BYTES;
    const socklen_t size =
        address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room); /* connections inherit it */
    if (bind(fd, (const struct sockaddr *)address, size) || listen(fd, SOMAXCONN))
        return -errno;
    return 0;
}

int listener_open(const struct settings *settings, int *ret_fd, char where[LISTENER_TEXT],
                  char error[LISTENER_ERROR])
{
    struct sockaddr_storage address = { 0 };
    const bool secure = settings->front_insecure || *settings->front_tls_cert;
    int r = listener_parse(settings->front_http, secure, &address, error);
    if (r)
        return r;
    const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    r = fd < 0 ? -errno : bind_there(fd, &address);
    if (r) {
        if (fd >= 0)
            (void)close(fd);
        return say(r, error, "cannot listen on %s: %s", settings->front_http, strerror(-r));
    }
    name_of(fd, where);
    *ret_fd = fd;
    return 0;
}
