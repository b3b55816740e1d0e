#include "broker/reply.h"

#include "broker/refuse.h"
#include "common/status.h"

#include <errno.h>

/* -ENOBUFS: the peer, or all of them together, have left too much unread. b->error says which. */
static int count_unread(struct door *door, struct slice id, zmq_msg_t *body)
{
    struct broker *b = door->broker;
    size_t size = zmq_msg_size(body);
    size_t most = (size_t)b->settings->broker_request_bytes_max;
    struct peer *peer = peers_find(b->peers, door->role, id);
    if (peer && !peer->unread)
        peer->unread = unread_new();
    unread_t *own = peer ? peer->unread : NULL;
    int r = 0;
    if (own && !unread_room(own, size, UNREAD_PEER_MAX))
        r = refuse_busy(b, "unread", UNREAD_PEER_MAX, unread_bytes(own));
    else if (!unread_room(door->unread, size, most))
        r = refuse_busy(b, "unread", most, unread_bytes(door->unread));
    return r ? -ENOBUFS : unread_count(own, door->unread, body);
}

/* Verb and epoch are set here, the rest is the caller's. body may be NULL; it is taken on 0. 0 or
 * -errno; -ENOBUFS: too many large bodies were not read yet, and b->error says so. */
static int send_answer(struct door *door, struct slice id, struct header *answer, zmq_msg_t *body)
{
    struct counters *counters = &door->broker->counters;
    answer->verb = VERB_ANSWER;
    answer->epoch = door->broker->epoch;
    int r = body && zmq_msg_size(body) >= UNREAD_LEAST ? count_unread(door, id, body) : 0;
    if (r == 0)
        r = envelope_send(door->socket, id, answer, body);
    zsource_used(door->source);
    if (r)
        counters->dropped++;
    else
        counters->sent++;
    return r;
}

void reply_ok(struct door *door, struct envelope *in)
{
    struct header answer = { .request = in->header.request };
    (void)send_answer(door, frame_slice(&in->peer), &answer, NULL);
}

static int send_scratch(struct door *door, struct slice id, struct header *answer)
{
    const msgpack_sbuffer *scratch = &door->broker->scratch;
    zmq_msg_t body;
    if (zmq_msg_init_size(&body, scratch->size)) {
        door->broker->counters.dropped++;
        return -ENOMEM;
    }
    memcpy(zmq_msg_data(&body), scratch->data, scratch->size);
    int r = send_answer(door, id, answer, &body);
    zmq_msg_close(&body);
    return r;
}

void reply_scratch(struct door *door, struct envelope *in, uint32_t count)
{
    struct header answer = { .request = in->header.request, .count = count };
    if (send_scratch(door, frame_slice(&in->peer), &answer) == -ENOBUFS)
        (void)reply_error(door, frame_slice(&in->peer), in->header.request, STATUS_BUSY);
}

int reply_error(struct door *door, struct slice id, uint64_t request, int status)
{
    struct broker *b = door->broker;
    struct header answer = { .request = request, .status = (uint32_t)status };
    msgpack_packer pk;
    msgpack_sbuffer_clear(&b->scratch);
    msgpack_packer_init(&pk, &b->scratch, msgpack_sbuffer_write);
    message_encode(&m_error_layout, &b->error, &pk);
    return send_scratch(door, id, &answer);
}

int reply_route(struct broker *b, const struct route *route, const struct header *answer,
                zmq_msg_t *body)
{
    const struct peer *peer = peers_at(b->peers, route->asker);
    if (!peer) {
        b->counters.dropped += route->asker.generation != 0;
        return -EHOSTUNREACH;
    }
    struct header header = *answer;
    header.request = route->kept.header.request;
    struct door *door = &b->doors[peer->role];
    int r = send_answer(door, peer->id, &header, body);
    if (r == -ENOBUFS)
        (void)reply_error(door, peer->id, header.request, STATUS_BUSY);
    return r;
}

int reply_route_error(struct broker *b, const struct route *route, int status)
{
    const struct peer *peer = peers_at(b->peers, route->asker);
    if (!peer)
        return -EHOSTUNREACH;
    return reply_error(&b->doors[peer->role], peer->id, route->kept.header.request, status);
}
