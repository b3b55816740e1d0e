#include "broker/drain.h"

#include "broker/hello.h"
#include "broker/refuse.h"
#include "broker/reply.h"
#include "common/log.h"
#include "common/status.h"
#include "proto/codec.h"

/* Whoever always has a request under way is cut off then: it repeats it elsewhere. */
enum { DRAIN_MS = 5000 };

bool drain_refuses(const struct door *door)
{
    return door->broker->draining_ms && (door->role == PEER_CLIENT || door->role == PEER_WORKER);
}

/* Its session greets again, is refused, and takes the next broker of its list. */
static void send_away(struct broker *b, struct peer *peer)
{
    (void)refuse_hello_first(b);
    (void)reply_error(&b->doors[peer->role], peer->id, 0, STATUS_HELLO_FIRST);
    hello_forget(b, &peer);
}

static void send_away_all(struct broker *b, enum peer_role role, bool idle_only)
{
    uint32_t cursor = 0;
    for (struct peer *peer; (peer = peers_next(b->peers, role, &cursor));)
        if (peer->open == 0 || !idle_only)
            send_away(b, peer);
}

void drain_tick(struct broker *b)
{
    if (!b->draining_ms)
        return;
    bool idle_only = b->now_ms - b->draining_ms < DRAIN_MS;
    send_away_all(b, PEER_WORKER, idle_only);
    send_away_all(b, PEER_CLIENT, idle_only);
}

int drain_on_drain(struct door *door, struct peer *peer, struct envelope *in)
{
    (void)peer;
    struct broker *b = door->broker;
    struct m_drain said;
    const char *field = "body";
    struct slice body = frame_slice(&in->body);
    int r = codec_check(body);
    if (r == 0)
        r = message_decode(&m_drain_layout, body, &said, &field);
    if (r)
        return refuse_field(b, r, field, "DRAIN's body is a map with the switch on");
    if (said.on != (b->draining_ms != 0))
        log_event(LOG_LEVEL_INFO, said.on ? "draining" : "undrained", "clients=%u workers=%u",
                  peers_count(b->peers, PEER_CLIENT), peers_count(b->peers, PEER_WORKER));
    if (!said.on)
        b->draining_ms = 0;
    else if (!b->draining_ms)
        b->draining_ms = b->now_ms;
    reply_ok(door, in);
    drain_tick(b);
    return 0;
}
