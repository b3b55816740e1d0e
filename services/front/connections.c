#include "services/front/connections.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/front/tcp.h"
#include "services/front/trace.h"

enum { TICK_LEAST_MS = 20, TICK_MOST_MS = 1000, WORDS_SIZE = 4096 };

void connections_init(struct connections *self, const struct settings *settings,
                      connection_lost_fn *lost)
{
    *self = (struct connections){ .settings = settings, .lost = lost };
    link_init(&self->ring);
}

static struct connection *owner(struct link *link)
{
    return link_owner(link, struct connection, link);
}

void connection_drop(struct connection *self)
{
    self->over = true;
    (void)shutdown(self->fd, SHUT_RDWR);
}

struct connection *connections_add(struct connections *self, int fd, bool plain, int64_t now_ms)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    link_init(&connection->link);
    link_append(&self->ring, &connection->link);
    connection->fd = fd;
    connection->plain = plain;
    connection->since_ms = now_ms;
    self->count++;
    return connection;
}

void connections_remove(struct connections *self, struct connection *connection)
{
    connections_hold(self, connection, 0);
    link_remove(&connection->link);
    self->count--;
    free(connection);
}

/* Who has been answering for longest goes first. */
static void bound_answers(struct connections *self, const struct connection *but)
{
    struct link *after = NULL;
    for (struct link *at = self->ring.after; at != &self->ring && self->held > ANSWERS_MAX;
         at = after) {
        struct connection *other = owner(at);
        after = at->after;
        if (other == but || other->over || other->held < ANSWERS_LEAST ||
            other->state != CONNECTION_ANSWERING)
            continue;
        log_event_seldom(LOG_LEVEL_WARN, "dropped", "why=%s",
                         "answers that are not read take too much memory");
        self->held -= other->held;
        other->held = 0;
        connection_drop(other);
        self->lost(other);
    }
}

void connections_hold(struct connections *self, struct connection *connection, size_t bytes)
{
    if (connection->over)
        bytes = 0; /* it goes soon, and was taken off */
    self->held += bytes - connection->held;
    connection->held = bytes;
    bound_answers(self, connection);
}

void connections_move(struct connections *self, struct connection *connection,
                      enum connection_state state, int64_t now_ms)
{
    const bool begun = connection->state == CONNECTION_ARRIVING;
    if (state == CONNECTION_ARRIVING && begun)
        return; /* since its first byte was seen */
    if (state == CONNECTION_ANSWERING || state == CONNECTION_TAKING) {
        const struct tcp_figures figures = tcp_look(connection->fd);
        connection->asked = figures.received;
        connection->taken = state == CONNECTION_TAKING ? figures.received : figures.taken;
    }
    connection->state = state;
    connection->since_ms = now_ms;
    link_append(&self->ring, &connection->link);
    if (state == CONNECTION_IDLE && self->stopping)
        connection_drop(connection);
    if (state == CONNECTION_ANSWERING)
        bound_answers(self, connection);
}

void connections_stop(struct connections *self)
{
    self->stopping = true;
    for (struct link *at = self->ring.after; at != &self->ring; at = at->after) {
        struct connection *connection = owner(at);
        if (connection->state == CONNECTION_IDLE &&
            tcp_look(connection->fd).received == connection->asked)
            connection_drop(connection);
    }
}

void connection_last_words(const struct connection *self, unsigned http, const char *detail)
{
    char text[WORDS_SIZE];
    struct trace trace;
    json_auto_t *said = self->plain ? json_pack("{s:s}", "detail", detail) : NULL;
    scoped_text char *body = said ? json_dumps(said, JSON_COMPACT) : NULL;
    if (!body)
        return;
    if (self->trace)
        trace = *self->trace;
    else
        trace_fill(&trace, NULL, NULL);
    const int size =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                 "X-Request-Id: %s\r\ntraceparent: %s\r\nConnection: close\r\n\r\n"
                 "%s",
                 http, MHD_get_reason_phrase_for(http), strlen(body), trace.id, trace.parent, body);
    if (size > 0 && (size_t)size < sizeof text)
        (void)send(self->fd, text, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void look_at_idle(struct connections *self, struct connection *connection, int64_t now_ms)
{
    const struct tcp_figures figures = tcp_look(connection->fd);
    if (figures.received != connection->asked && !figures.left)
        connections_move(self, connection, CONNECTION_ARRIVING, now_ms);
    else if (self->stopping || figures.left ||
             now_ms - connection->since_ms >= self->settings->front_idle_ms)
        connection_drop(connection);
}

static void look_at_arriving(struct connections *self, struct connection *connection,
                             int64_t now_ms)
{
    if (now_ms - connection->since_ms < self->settings->front_request_ms)
        return;
    connection_last_words(connection, 408, "the request did not come whole in time");
    log_event_seldom(LOG_LEVEL_DEBUG, "dropped", "why=%s", "request_ms");
    connection_drop(connection);
}

static void drop_lost(struct connections *self, struct connection *connection)
{
    connection_drop(connection);
    self->lost(connection);
}

/* A peer that is not read from can send nothing. That one has left, libmicrohttpd misses when it
 * shows at once with the last bytes: those it is still to read. */
static void look_at_taking(struct connections *self, struct connection *connection, int64_t now_ms)
{
    const struct tcp_figures figures = tcp_look(connection->fd);
    const bool still = !connection->held_up && figures.received == connection->asked;
    connection->asked = figures.received;
    if (connection->held_up || figures.received - connection->taken >= (uint64_t)CONNECTION_PACE) {
        connection->taken = figures.received;
        connection->since_ms = now_ms;
    } else if (still && figures.left) {
        drop_lost(self, connection);
    } else if (now_ms - connection->since_ms >= self->settings->front_request_ms) {
        connection_last_words(connection, 408, "the body came too slowly");
        log_event_seldom(LOG_LEVEL_DEBUG, "dropped", "why=%s", "request_ms");
        drop_lost(self, connection);
    }
}

static void look_at_waiting(struct connections *self, struct connection *connection)
{
    if (tcp_look(connection->fd).left)
        drop_lost(self, connection);
}

/* Streams stay in this state, mostly with nothing on its way. */
static void look_at_answering(struct connections *self, struct connection *connection,
                              int64_t now_ms)
{
    const struct tcp_figures figures = tcp_look(connection->fd);
    const bool paced =
        !figures.unsent || figures.taken - connection->taken >= (uint64_t)CONNECTION_PACE;
    if (figures.left)
        self->lost(connection);
    if (paced) {
        connection->taken = figures.taken;
        connection->since_ms = now_ms;
    } else if (now_ms - connection->since_ms >= self->settings->front_request_ms) {
        log_event_seldom(LOG_LEVEL_DEBUG, "dropped", "why=%s", "does not read");
        drop_lost(self, connection);
    }
}

bool connections_full(const struct connections *self)
{
    return self->count >= (size_t)self->settings->front_connections_max;
}

static void make_room(struct connections *self)
{
    for (struct link *at = self->ring.after; at != &self->ring; at = at->after) {
        struct connection *connection = owner(at);
        if (connection->state == CONNECTION_IDLE && !connection->over) {
            connection_drop(connection);
            return;
        }
    }
}

void connections_tick(struct connections *self, int64_t now_ms)
{
    struct link *after = NULL;
    for (struct link *at = self->ring.after; at != &self->ring; at = after) {
        struct connection *connection = owner(at);
        after = at->after; /* looking may move it to the end, where it is looked at once more */
        if (connection->over)
            continue;
        if (connection->state == CONNECTION_IDLE)
            look_at_idle(self, connection, now_ms);
        else if (connection->state == CONNECTION_ARRIVING)
            look_at_arriving(self, connection, now_ms);
        else if (connection->state == CONNECTION_TAKING)
            look_at_taking(self, connection, now_ms);
        else if (connection->state == CONNECTION_WAITING)
            look_at_waiting(self, connection);
        else if (connection->state == CONNECTION_ANSWERING)
            look_at_answering(self, connection, now_ms);
    }
    if (connections_full(self))
        make_room(self); /* now that it is known who idles */
}

int64_t connections_tick_ms(const struct settings *settings)
{
    const int64_t least = settings->front_request_ms < settings->front_idle_ms
                              ? settings->front_request_ms
                              : settings->front_idle_ms;
    const int64_t tick = least / 4;
    return tick < TICK_LEAST_MS ? TICK_LEAST_MS : tick > TICK_MOST_MS ? TICK_MOST_MS : tick;
}
