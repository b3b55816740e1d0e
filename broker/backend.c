#include "broker/backend.h"

#include "broker/hello.h"
#include "broker/refuse.h"
#include "broker/reply.h"
#include "common/log.h"
#include "common/status.h"

#include <errno.h>

/* Above all numbers of routes. Nothing waits for a PING's answer: any word of a state service
 * counts. */
static const uint64_t ping_bit = (uint64_t)1 << 63;

int backend_join(struct broker *b, struct peer *peer)
{
    struct states *states = &b->states;
    char name[PEER_NAME];
    if (states->count + states->lost_count >= STATES_MAX)
        return refuse_busy(b, "states", STATES_MAX, states->count);
    states->up[states->count++] = peer;
    log_event(LOG_LEVEL_DEBUG, "state_joined", "name=%s states=%u", hello_name(peer, name),
              states->count);
    credit_look(b->credit); /* what could not be sent, or was enqueued while nobody told us */
    return 0;
}

void backend_lose(struct broker *b, const struct peer *peer)
{
    struct states *states = &b->states;
    for (uint32_t i = 0; i < states->count; i++) {
        if (states->up[i] != peer)
            continue;
        states->up[i] = states->up[--states->count];
        states->lost[states->lost_count++] = peer->ref;
        return;
    }
}

static void lose_unreachable(struct broker *b, struct peer *state)
{
    char name[PEER_NAME];
    log_event(LOG_LEVEL_WARN, "state_lost", "name=%s states=%u", hello_name(state, name),
              b->states.count - 1);
    hello_forget(b, &state);
}

static int say(struct broker *b, const struct peer *state, const struct header *header,
               zmq_msg_t *body)
{
    struct header said = *header;
    said.epoch = b->epoch;
    said.status = 0;
    int r = envelope_send(b->doors[PEER_STATE].socket, state->id, &said, body);
    zsource_used(b->doors[PEER_STATE].source);
    if (r == 0)
        b->counters.sent++;
    return r;
}

/* By reference: the route keeps its body until the answer. */
static int say_route(struct broker *b, const struct peer *state, struct route *route)
{
    struct header header = route->kept.header;
    zmq_msg_t body;
    header.request = route->number;
    zmq_msg_init(&body);
    zmq_msg_copy(&body, &route->kept.body);
    int r = say(b, state, &header, &body);
    zmq_msg_close(&body);
    return r;
}

/* False: it did not take it. */
static bool send_to(struct broker *b, struct peer *state, struct route *route)
{
    int r = say_route(b, state, route);
    if (r == 0)
        route->state = state->ref;
    else if (r == -EHOSTUNREACH)
        lose_unreachable(b, state);
    return r == 0;
}

/* Each state service in turn until one takes it. 0, or a refusal: BUSY when a living one did not.
 */
static int send_route(struct broker *b, struct route *route)
{
    struct states *states = &b->states;
    for (uint32_t tries = states->count; tries && states->count; tries--)
        if (send_to(b, states->up[states->next++ % states->count], route))
            return 0;
    return states->count ? refuse_busy(b, "states", states->count, states->count)
                         : refuse_unavailable(b);
}

/* NULL: refused as BUSY. Takes the body else. */
static struct route *open_route(struct broker *b, enum route_payer payer,
                                const struct header *header, zmq_msg_t *body)
{
    const struct settings *s = b->settings;
    struct route *route = NULL;
    enum route_room room = routes_room(b->routes, payer, zmq_msg_size(body));
    if (room == ROUTE_BYTES_FULL)
        (void)refuse_busy(b, "request_bytes", (uint64_t)s->broker_request_bytes_max,
                          routes_bytes(b->routes, payer));
    else if (room != ROUTE_ROOM || routes_open(b->routes, payer, header, body, b->now_ms, &route))
        (void)refuse_busy(b, "requests", (uint64_t)s->broker_requests_max,
                          routes_count(b->routes, payer));
    return route;
}

static void set_asker(struct broker *b, struct route *route, struct peer_ref asker)
{
    struct peer *peer = peers_at(b->peers, asker);
    route->asker = asker;
    if (peer && !verb_waits(route->kept.header.verb))
        peer->open++;
}

static void close_route(struct broker *b, struct route **route_p)
{
    struct peer *asker = peers_at(b->peers, (*route_p)->asker);
    if (asker && !verb_waits((*route_p)->kept.header.verb))
        asker->open--;
    routes_close(b->routes, route_p);
}

/* state: NULL when any will do. */
static bool send_claim(struct broker *b, struct claim *claim, struct slice service,
                       struct peer *state)
{
    struct header header = claim->kept.header;
    zmq_msg_t body;
    header.service = service;
    zmq_msg_init(&body);
    zmq_msg_copy(&body, &claim->kept.body);
    struct route *route = open_route(b, ROUTE_OF_BROKER, &header, &body);
    zmq_msg_close(&body);
    if (route) {
        set_asker(b, route, claim->owner);
        route->claim = claim;
        if (state ? send_to(b, state, route) : send_route(b, route) == 0)
            return true;
        close_route(b, &route);
    }
    credit_put_back(b->credit, &claim);
    return false;
}

/* A claim right behind the tasks of an idle queue, to the same state service, which works at them
 * in this order: the worker has them one wake-up earlier than by READY. */
static void ride(struct broker *b, const struct route *submit)
{
    struct slice service = submit->kept.header.service;
    struct peer *state = peers_at(b->peers, submit->state);
    struct claim *claim;
    if (state && credit_ride(b->credit, service, &claim))
        (void)send_claim(b, claim, service, state);
}

int backend_ask(struct broker *b, enum route_payer payer, struct peer_ref asker,
                const struct header *header, zmq_msg_t *body)
{
    if (!b->states.count)
        return refuse_unavailable(b);
    struct route *route = open_route(b, payer, header, body);
    if (!route)
        return STATUS_BUSY;
    set_asker(b, route, asker);
    int r = send_route(b, route);
    if (r)
        close_route(b, &route);
    else if (header->verb == VERB_SUBMIT)
        ride(b, route);
    return r;
}

/* An answer that could not be sent is lost. Who waits for it is forgotten, so that its next word is
 * answered HELLO_FIRST and it repeats what it asked, or claims anew. */
static void forget_asker(struct broker *b, const struct route *route)
{
    struct peer *asker = peers_at(b->peers, route->asker);
    if (asker)
        hello_forget(b, &asker);
}

/* The asker is told why, and a claim ends with its route: its worker claims anew. */
static void fail_route(struct broker *b, struct route *route, int status)
{
    if (reply_route_error(b, route, status))
        forget_asker(b, route);
    if (route->claim)
        credit_drop(b->credit, &route->claim);
    close_route(b, &route);
}

/* A CLAIM may have been done, and its tasks with it: never twice. */
static void ask_another(struct broker *b, struct route *route)
{
    int r = route->claim ? refuse_unanswered(b) : send_route(b, route);
    if (r)
        fail_route(b, route, r);
    else
        b->counters.resent++;
}

static void ask_others(struct broker *b, struct peer_ref lost)
{
    struct route *next;
    for (struct route *route = routes_after(b->routes, NULL); route; route = next) {
        next = routes_after(b->routes, route);
        if (route->state.index == lost.index && route->state.generation == lost.generation)
            ask_another(b, route);
    }
}

void backend_turn(struct broker *b)
{
    struct claim *claim;
    struct slice service;
    while (b->states.lost_count)
        ask_others(b, b->states.lost[--b->states.lost_count]);
    while (b->states.count && credit_next(b->credit, &claim, &service))
        if (!send_claim(b, claim, service, NULL))
            return;
}

static void give_back(struct broker *b, const struct header *answer, struct slice service,
                      zmq_msg_t *body)
{
    struct header header = { .verb = VERB_RETURN, .service = service, .count = answer->count };
    b->counters.returned++;
    if (backend_ask(b, ROUTE_OF_BROKER, (struct peer_ref){ 0 }, &header, body))
        log_event_seldom(LOG_LEVEL_WARN, "return_failed", "why=%s", b->error_text);
}

/* Tasks go to the worker, or back to the store at once. */
static void end_claim(struct broker *b, struct route *route, struct envelope *in)
{
    bool tasks = in->header.status == STATUS_OK;
    if (in->header.status == STATUS_EMPTY) {
        credit_empty(b->credit, &route->claim);
        return;
    }
    if (reply_route(b, route, &in->header, &in->body)) {
        if (tasks)
            give_back(b, &in->header, route->kept.header.service, &in->body);
        forget_asker(b, route);
    }
    if (tasks && in->header.count < route->kept.header.count)
        credit_drained(b->credit, &route->claim);
    else if (tasks)
        credit_served(b->credit, &route->claim);
    else
        credit_drop(b->credit, &route->claim);
}

/* Tasks for a claim that its worker was told to have failed. */
static void on_late(struct broker *b, struct envelope *in)
{
    const struct header *header = &in->header;
    if (header->request & ping_bit)
        return;
    b->counters.late++;
    if (route_number_is_claim(header->request) && header->status == STATUS_OK && header->count)
        give_back(b, header, header->service, &in->body);
}

static void answer_route(struct broker *b, const struct route *route, struct envelope *in)
{
    int r = reply_route(b, route, &in->header, &in->body);
    if (r == -EAGAIN || r == -EHOSTUNREACH)
        forget_asker(b, route);
}

static int on_answer(struct door *door, struct peer *peer, struct envelope *in)
{
    struct broker *b = door->broker;
    struct route *route = routes_find(b->routes, in->header.request);
    (void)peer;
    if (!route) {
        on_late(b, in);
        return 0;
    }
    if (route->claim)
        end_claim(b, route, in);
    else
        answer_route(b, route, in);
    close_route(b, &route);
    return 0;
}

static int on_ready(struct door *door, struct peer *peer, struct envelope *in)
{
    (void)peer;
    credit_ready(door->broker->credit, in->header.service);
    return 0;
}

verb_fn *const backend_says[VERB_END] = {
    [VERB_HELLO] = hello_on_hello, [VERB_PING] = hello_on_ping, [VERB_BYE] = hello_on_bye,
    [VERB_ANSWER] = on_answer,     [VERB_READY] = on_ready,
};

void backend_ping(struct broker *b)
{
    for (uint32_t i = b->states.count; i-- > 0;) {
        struct peer *state = b->states.up[i];
        struct header header = { .verb = VERB_PING, .request = ping_bit | ++b->pings };
        if (say(b, state, &header, NULL) == -EHOSTUNREACH)
            lose_unreachable(b, state);
    }
}

void backend_expire(struct broker *b)
{
    for (struct route *route; (route = routes_due(b->routes, b->now_ms));) {
        log_event_seldom(LOG_LEVEL_WARN, "unanswered", "verb=%s",
                         verb_text(route->kept.header.verb));
        b->counters.timed_out++;
        fail_route(b, route, refuse_unanswered(b));
    }
}
