#include "broker/endpoint.h"

#include "common/scoped.h"
#include "common/status.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <zmq.h>

static const char ipc_prefix[] = "ipc://";
static const char tcp_prefix[] = "tcp://";

static const char *after(const char *text, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

__attribute__((format(printf, 3, 4))) static int say(int result, char error[ENDPOINT_ERROR],
                                                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, ENDPOINT_ERROR, format, args);
    va_end(args);
    return result;
}

static int check_ipc(const char *endpoint, const char *path, char *error)
{
    if (!*path || strcmp(path, "*") == 0)
        return say(STATUS_INVALID, error, "%s names no path", endpoint);
    if (strlen(path) > ENDPOINT_IPC_MAX)
        return say(
            STATUS_INVALID, error,
            "the path of %s has %zu bytes, a unix socket's may have %d: use a shorter one or "
            "one relative to the working folder",
            endpoint, strlen(path), ENDPOINT_IPC_MAX);
    return 0;
}

/* Only addresses count: a name such as 127.0.0.1.example may lead anywhere. */
static bool loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "lo") == 0;
}

/* [::1]:5555 and 127.0.0.1:5555: the host without brackets. */
static bool host_of(const char *address, char *host, size_t size)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || !colon[1])
        return false;
    size_t length = (size_t)(colon - address);
    if (address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (!length || length >= size)
        return false;
    memcpy(host, address, length);
    host[length] = '\0';
    return true;
}

/* ZeroMQ takes 70000 for another port. */
static bool port_good(const char *port)
{
    char *end;
    long number = strtol(port, &end, 10);
    return *port >= '0' && *port <= '9' && !*end && number > 0 && number <= UINT16_MAX;
}

static int check_tcp(const char *endpoint, const char *address, bool insecure, char *error)
{
    char host[256];
    if (!host_of(address, host, sizeof host))
        return say(STATUS_INVALID, error, "%s is no tcp://ADDRESS:PORT", endpoint);
    if (!port_good(strrchr(address, ':') + 1))
        return say(STATUS_INVALID, error, "%s: a port is a number from 1 to 65535", endpoint);
    if (!insecure && !loopback(host))
        return say(
            STATUS_DENIED, error,
            "%s can be reached by others and nothing is encrypted: bind to 127.0.0.1, or set "
            "broker.insecure to true",
            endpoint);
    return 0;
}

int endpoint_check(const char *endpoint, bool insecure, char error[ENDPOINT_ERROR])
{
    const char *path = after(endpoint, ipc_prefix);
    if (path)
        return check_ipc(endpoint, path, error);
    const char *address = after(endpoint, tcp_prefix);
    if (address)
        return check_tcp(endpoint, address, insecure, error);
    return say(STATUS_INVALID, error,
               "\"%s\" is no endpoint: ipc://PATH or tcp://ADDRESS:PORT is expected", endpoint);
}

static int make_folders(const char *path)
{
    char folder[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, path, size + 1);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

static bool answered(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, path, strlen(path));
    /* EAGAIN: somebody listens and has a full backlog */
    return fd >= 0 &&
           (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN);
}

/* ZeroMQ unlinks whatever it finds at the path, even what is in use or no socket at all. */
static int free_path(const char *endpoint, const char *path, char *error)
{
    struct stat st;
    if (path[0] == '@') /* abstract: no file, and the kernel refuses a second bind */
        return 0;
    int r = make_folders(path);
    if (r)
        return say(r, error, "cannot make the folder of %s: %s", endpoint, strerror(-r));
    if (lstat(path, &st))
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return say(STATUS_CONFLICT, error, "%s: a file that is no socket lies there", endpoint);
    if (answered(path))
        return say(STATUS_CONFLICT, error, "%s: another process listens there", endpoint);
    return 0;
}

static int bind_one(void *socket, const char *endpoint, char *error)
{
    const char *path = after(endpoint, ipc_prefix);
    int r = path ? free_path(endpoint, path, error) : 0;
    if (r)
        return r;
    int six = strchr(endpoint, '[') != NULL;
    if (zmq_setsockopt(socket, ZMQ_IPV6, &six, sizeof six) == 0 && zmq_bind(socket, endpoint) == 0)
        return 0;
    r = -errno;
    return say(r, error, "cannot bind %s: %s", endpoint, zmq_strerror(-r));
}

/* What is done with every endpoint of a list, until one fails. */
enum step { CHECK, BIND };

static int each(void *socket, char *list, bool insecure, enum step step, char *error)
{
    char *save = NULL;
    int r = 0;
    bool any = false;
    for (char *e = strtok_r(list, ", ", &save); e && !r; e = strtok_r(NULL, ", ", &save)) {
        r = step == CHECK ? endpoint_check(e, insecure, error) : bind_one(socket, e, error);
        any = true;
    }
    return r || any ? r : say(STATUS_INVALID, error, "no endpoint is given");
}

int endpoint_bind(void *socket, const char *endpoints, bool insecure, char error[ENDPOINT_ERROR])
{
    int r = 0;
    for (enum step step = CHECK; step <= BIND && r == 0; step++) {
        char *list = strdup(endpoints); /* is cut at the commas */
        r = list ? each(socket, list, insecure, step, error) : say(-ENOMEM, error, "out of memory");
        free(list);
    }
    return r;
}
