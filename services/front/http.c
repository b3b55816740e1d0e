#include "services/front/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"
#include "services/front/listener.h"

struct http {
    struct front *front;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* libmicrohttpd's epoll descriptor: it has all its sockets in it */
    uv_timer_t timer;
    size_t connections;
    void (*ended)(void *arg); /* NULL until it is told to stop */
    void *ended_arg;
    int open; /* handles; 0 frees */
};

/* ---- the loop --------------------------------------------------------------------------------
 */

static void run(http_t *self);

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void run(http_t *self)
{
    MHD_UNSIGNED_LONG_LONG wait = 0;
    (void)MHD_run(self->daemon);
    if (MHD_get_timeout(self->daemon, &wait) == MHD_YES)
        uv_timer_start(&self->timer, on_timer, wait, 0);
    else
        uv_timer_stop(&self->timer);
    if (self->ended && self->connections == 0) {
        void (*ended)(void *arg) = self->ended;
        self->ended = NULL;
        ended(self->ended_arg);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

void http_wake(http_t *self)
{
    uv_timer_start(&self->timer, on_timer, 0, 0);
}

/* ---- what libmicrohttpd calls ----------------------------------------------------------------
 */

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    http_t *self = arg;
    return request_new(self->front, self, connection, target);
}

// NOLINTNEXTLINE(readability-function-size): as libmicrohttpd has it
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **request)
{
    request_t *self = *request;
    (void)arg;
    (void)connection;
    (void)url;
    if (!self || !request_receive(self, method, version, data, *size))
        return MHD_NO;
    *size = 0;
    return MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)connection;
    (void)why;
    if (*request)
        request_over(*request);
    *request = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    http_t *self = arg;
    (void)connection;
    (void)context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        self->connections++;
    else
        self->connections--;
}

__attribute__((format(printf, 2, 0))) static void on_log(void *arg, const char *format,
                                                         va_list args)
{
    char text[512];
    (void)arg;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_LEVEL_DEBUG, "http", "said=%s", text);
}

/* ---- its life --------------------------------------------------------------------------------
 */

static int start_daemon(http_t *self, int fd)
{
    const struct settings *settings = self->front->settings;
    self->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
        self, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, self, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        self, MHD_OPTION_NOTIFY_CONNECTION, on_connection, self, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)settings->front_connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)settings->front_header_bytes * 2, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_END);
    return self->daemon ? 0 : -EIO;
}

static void on_closed(uv_handle_t *handle)
{
    http_t *self = handle->data;
    if (--self->open == 0)
        free(self);
}

static int watch(http_t *self)
{
    uv_loop_t *loop = program_loop(self->front->program);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r = info ? uv_poll_init(loop, &self->poll, info->epoll_fd) : -EIO;
    if (r)
        return r;
    (void)uv_timer_init(loop, &self->timer);
    self->poll.data = self->timer.data = self;
    self->open = 2;
    http_wake(self);
    return uv_poll_start(&self->poll, UV_READABLE, on_poll);
}

int http_new(struct front *front, http_t **ret_self)
{
    char error[LISTENER_ERROR] = "", where[LISTENER_TEXT];
    int fd = -1;
    http_t *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->front = front;
    int r = listener_open(front->settings, &fd, where, error);
    if (r == 0)
        r = start_daemon(self, fd);
    if (r == 0)
        r = watch(self);
    if (r) {
        log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", *error ? error : strerror(-r));
        if (!self->daemon && fd >= 0)
            (void)close(fd);
        http_destroy(&self);
        return r < 0 ? r : -EINVAL;
    }
    log_event(LOG_LEVEL_INFO, "started", "http=%s", where);
    *ret_self = self;
    return 0;
}

void http_destroy(http_t **self_p)
{
    http_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->daemon)
        MHD_stop_daemon(self->daemon);
    if (self->open == 0) {
        free(self);
        return;
    }
    uv_close((uv_handle_t *)&self->poll, on_closed);
    uv_close((uv_handle_t *)&self->timer, on_closed);
}

void http_stop(http_t *self, void (*ended)(void *arg), void *arg)
{
    const int fd = MHD_quiesce_daemon(self->daemon);
    if (fd != MHD_INVALID_SOCKET)
        (void)close(fd);
    self->ended = ended;
    self->ended_arg = arg;
    http_wake(self);
}
