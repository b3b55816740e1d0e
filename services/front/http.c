#include "services/front/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/front/listener.h"
#include "services/front/parting.h"
#include "services/front/request_own.h"
#include "services/front/tls.h"

/* LAST_TURNS: in which answers that are ready may still be sent when all ends. SPINS_MAX: how often
 * libmicrohttpd is called again at once on its word alone; it gives that for every handshake of TLS
 * that is under way, however long that waits for the peer. */
enum { LAST_TURNS = 4, SPINS_MAX = 64, SPIN_REST_MS = 2 };

struct http {
    struct front *front;
    struct MHD_Daemon *daemon;
    struct tls tls;
    uv_poll_t poll;   /* libmicrohttpd's epoll descriptor: it has all its sockets in it */
    uv_idle_t again;  /* libmicrohttpd is to be called in the next turn, */
    uv_timer_t timer; /* or after a while, although no socket says so */
    uv_timer_t tick;  /* limits, and streams that are silent */
    int spins;        /* since a socket said so, or bytes moved */
    bool wanted;      /* something was changed: once more, whatever libmicrohttpd says */
    struct connections connections;
    parting_t *parting;
    void (*ended)(void *arg); /* NULL until it is told to stop */
    void *ended_arg;
    bool closing;
    int open; /* handles; 0 frees */
};

/* ---- the loop --------------------------------------------------------------------------------
 */

static void on_again(uv_idle_t *again);
static void on_timer(uv_timer_t *timer);

static void schedule(http_t *self)
{
    MHD_UNSIGNED_LONG_LONG wait = 0;
    (void)uv_idle_stop(&self->again);
    (void)uv_timer_stop(&self->timer);
    if (!self->wanted && MHD_get_timeout(self->daemon, &wait) != MHD_YES)
        return;
    if (wait == 0 && self->spins < SPINS_MAX) {
        self->spins++;
        (void)uv_idle_start(&self->again, on_again);
        return;
    }
    (void)uv_timer_start(&self->timer, on_timer, wait ? wait : SPIN_REST_MS, 0);
}

static void want(http_t *self)
{
    self->wanted = true;
    self->spins = 0;
    (void)uv_idle_start(&self->again, on_again);
}

static void run(http_t *self)
{
    self->wanted = false;
    (void)MHD_run(self->daemon);
    schedule(self);
    if (self->ended && self->connections.count == 0) {
        void (*ended)(void *arg) = self->ended;
        self->ended = NULL;
        ended(self->ended_arg);
    }
}

static void on_again(uv_idle_t *again)
{
    run(again->data);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    http_t *self = poll->data;
    (void)status;
    (void)events;
    self->spins = 0;
    run(self);
}

static struct connection *connection_at(struct link *link)
{
    return link_owner(link, struct connection, link);
}

static void on_tick(uv_timer_t *timer)
{
    http_t *self = timer->data;
    const int64_t now = clock_ms();
    connections_tick(&self->connections, now);
    parting_tick(self->parting, now);
    want(self); /* out of files, libmicrohttpd looks for who waits at its next turn only */
    const struct link *ring = &self->connections.ring;
    for (struct link *at = ring->after; at != ring; at = at->after) {
        request_t *request = connection_at(at)->request;
        if (request && request->stream)
            stream_tick(request, now);
    }
}

void http_resume(http_t *self, struct MHD_Connection *connection)
{
    MHD_resume_connection(connection);
    if (!self->closing)
        want(self);
}

void http_moved(http_t *self)
{
    self->spins = 0;
}

void http_move(http_t *self, struct connection *connection, enum connection_state state)
{
    connections_move(&self->connections, connection, state, clock_ms());
}

void http_hold(http_t *self, struct connection *connection, size_t bytes)
{
    connections_hold(&self->connections, connection, bytes);
}

bool http_crowded(const http_t *self)
{
    return self->connections.stopping || connections_full(&self->connections);
}

bool http_closing(const http_t *self)
{
    return self->closing;
}

static void on_lost(struct connection *connection)
{
    request_t *request = connection->request;
    if (request && request->stream)
        stream_drop(request);
    else if (request && connection->over)
        request_wake(request);
}

/* ---- what libmicrohttpd calls ----------------------------------------------------------------
 */

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void end_request(http_t *self, struct connection *peer)
{
    if (peer->request)
        request_over(peer->request);
    peer->request = NULL;
    peer->trace = NULL;
    http_hold(self, peer, 0);
}

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    http_t *self = arg;
    struct connection *peer = connection_of(connection);
    if (!peer)
        return NULL;
    http_move(self, peer, CONNECTION_ARRIVING);
    end_request(self, peer);
    peer->request = request_new(self->front, self, connection, peer, target);
    return peer->request;
}

// NOLINTNEXTLINE(readability-function-size): as libmicrohttpd has it
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **request)
{
    (void)connection;
    (void)url;
    if (*size)
        http_moved(arg);
    if (!*request || !request_receive(*request, method, version, data, size))
        return MHD_NO;
    return MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    http_t *self = arg;
    struct connection *peer = connection_of(connection);
    (void)why;
    *request = NULL;
    if (!peer)
        return;
    end_request(self, peer);
    http_move(self, peer, CONNECTION_IDLE);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    http_t *self = arg;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *peer = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context =
            info ? connections_add(&self->connections, info->connect_fd, !self->tls.key, clock_ms())
                 : NULL;
    } else if (peer) {
        if (peer->rude && !self->closing)
            parting_add(self->parting, peer->fd, clock_ms());
        if (connections_full(&self->connections) && !self->closing)
            want(self); /* the listening socket is watched again at its next turn only */
        end_request(self,
                    peer); /* who is refused twice by libmicrohttpd is not said to be completed */
        connections_remove(&self->connections, peer);
    }
}

__attribute__((format(printf, 2, 0))) static void on_log(void *arg, const char *format,
                                                         va_list args)
{
    char text[512];
    (void)arg;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_event_seldom(LOG_LEVEL_DEBUG, "http", "said=%s", text);
}

/* ---- its life --------------------------------------------------------------------------------
 */

static int start_daemon(http_t *self, int fd)
{
    const struct settings *settings = self->front->settings;
    struct MHD_OptionItem tls[TLS_OPTIONS];
    const unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | tls_options(&self->tls, tls);
    self->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, self, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, on_target, self,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, self, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, self, MHD_OPTION_CONNECTION_LIMIT, (unsigned)settings->front_connections_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)settings->front_header_bytes * 2,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    return self->daemon ? 0 : -EIO;
}

static int watch(http_t *self)
{
    uv_loop_t *loop = program_loop(self->front->program);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r = info ? uv_poll_init(loop, &self->poll, info->epoll_fd) : -EIO;
    if (r)
        return r;
    (void)uv_idle_init(loop, &self->again);
    (void)uv_timer_init(loop, &self->timer);
    (void)uv_timer_init(loop, &self->tick);
    self->poll.data = self->again.data = self->timer.data = self->tick.data = self;
    self->open = 4;
    const uint64_t tick_ms = (uint64_t)connections_tick_ms(self->front->settings);
    want(self);
    (void)uv_timer_start(&self->tick, on_tick, tick_ms, tick_ms);
    return uv_poll_start(&self->poll, UV_READABLE, on_poll);
}

static int begin(http_t *self, char where[LISTENER_TEXT], char error[LISTENER_ERROR])
{
    const struct settings *settings = self->front->settings;
    int fd = -1;
    connections_init(&self->connections, settings, on_lost);
    self->parting =
        parting_new(program_loop(self->front->program), (size_t)settings->front_body_bytes * 2);
    if (!self->parting)
        return -ENOMEM;
    int r = tls_load(settings, &self->tls, error);
    if (r == 0)
        r = listener_open(settings, &fd, where, error);
    if (r)
        return r;
    r = start_daemon(self, fd);
    if (r) {
        (void)snprintf(error, LISTENER_ERROR, "%s",
                       self->tls.key ? "the server does not start: do front.tls_cert and "
                                       "front.tls_key belong together?"
                                     : "the server does not start");
        return r;
    }
    return watch(self);
}

int http_new(struct front *front, http_t **ret_self)
{
    char error[LISTENER_ERROR] = "", where[LISTENER_TEXT];
    http_t *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->front = front;
    int r = begin(self, where, error);
    if (r) {
        log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", *error ? error : strerror(-r));
        http_destroy(&self);
        return r < 0 ? r : -EINVAL;
    }
    log_event(LOG_LEVEL_INFO, "started", "http=%s tls=%s", where, self->tls.key ? "true" : "false");
    *ret_self = self;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    http_t *self = handle->data;
    if (--self->open == 0)
        free(self);
}

/* libmicrohttpd may not be stopped while somebody sleeps. */
static void wake_all(http_t *self)
{
    const struct link *ring = &self->connections.ring;
    for (struct link *at = ring->after; at != ring; at = at->after)
        if (connection_at(at)->request)
            request_wake(connection_at(at)->request);
}

static void stop_daemon(http_t *self)
{
    for (int i = 0; i < LAST_TURNS; i++)
        (void)MHD_run(self->daemon);
    self->closing = true;
    wake_all(self);
    (void)MHD_run(self->daemon);
    MHD_stop_daemon(self->daemon);
}

void http_destroy(http_t **self_p)
{
    http_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->daemon)
        stop_daemon(self);
    parting_destroy(&self->parting);
    tls_clear(&self->tls);
    if (self->open == 0) {
        free(self);
        return;
    }
    uv_close((uv_handle_t *)&self->poll, on_closed);
    uv_close((uv_handle_t *)&self->again, on_closed);
    uv_close((uv_handle_t *)&self->timer, on_closed);
    uv_close((uv_handle_t *)&self->tick, on_closed);
}

void http_stop(http_t *self, void (*ended)(void *arg), void *arg)
{
    const int fd = MHD_quiesce_daemon(self->daemon);
    if (fd != MHD_INVALID_SOCKET)
        (void)close(fd);
    self->ended = ended;
    self->ended_arg = arg;
    connections_stop(&self->connections);
    const struct link *ring = &self->connections.ring;
    for (struct link *at = ring->after; at != ring; at = at->after) {
        request_t *request = connection_at(at)->request;
        if (request && request->stream)
            request_end(request);
    }
    want(self);
}
