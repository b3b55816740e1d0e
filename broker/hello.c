#include "broker/hello.h"

#include "broker/backend.h"
#include "broker/drain.h"
#include "broker/refuse.h"
#include "broker/reply.h"
#include "common/log.h"
#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"

struct services {
    struct slice names[CREDIT_SERVICES_MAX];
    size_t count;
};

static bool read_services(struct slice value, struct services *ret_services)
{
    struct reader reader;
    uint32_t count;
    if (!codec_array(value, &reader, &count) || count == 0 || count > CREDIT_SERVICES_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct slice name;
        if (!reader_value(&reader, &name) || !codec_str(name, &ret_services->names[i]) ||
            !service_valid(ret_services->names[i]))
            return false;
    }
    ret_services->count = count;
    return true;
}

static int check_worker(struct broker *b, const struct m_hello *hello)
{
    struct services services;
    if (hello->session.size != WIRE_SESSION_SIZE)
        return refuse_field(b, STATUS_INVALID, "session", "a worker's session is 16 random bytes");
    if (!read_services(hello->services, &services))
        return refuse_field(
            b, STATUS_INVALID, "services",
            "a worker names 1 to 16 services, each of a-z, 0-9 and _, at most 32 long");
    return 0;
}

static int check(struct door *door, struct slice body, struct m_hello *ret_hello)
{
    struct broker *b = door->broker;
    const char *field = "body";
    if (body.size > PEER_HELLO_MAX)
        return refuse_large(b, "body", PEER_HELLO_MAX, body.size);
    int r = codec_check(body);
    if (r == 0)
        r = message_decode(&m_hello_layout, body, ret_hello, &field);
    if (r)
        return refuse_field(b, r, field, "HELLO's body cannot be read: see docs/protocol.md");
    if (!slice_is(ret_hello->role, peer_role_text(door->role)))
        return refuse_field(b, STATUS_INVALID, "role", "this socket is for another role");
    return door->role == PEER_WORKER ? check_worker(b, ret_hello) : 0;
}

void hello_forget(struct broker *b, struct peer **peer_p)
{
    if ((*peer_p)->seat)
        credit_leave(b->credit, &(*peer_p)->seat);
    if ((*peer_p)->role == PEER_STATE)
        backend_lose(b, *peer_p);
    peers_remove(b->peers, peer_p);
}

/* Whoever said HELLO here before, or for this session elsewhere, is replaced. */
static void forget_former(struct door *door, struct peer *peer, const struct m_hello *hello)
{
    struct broker *b = door->broker;
    if (peer)
        hello_forget(b, &peer);
    struct peer *same =
        door->role == PEER_WORKER ? peers_of_session(b->peers, hello->session) : NULL;
    if (same)
        hello_forget(b, &same);
}

static int take_seat(struct broker *b, struct peer *peer)
{
    struct services services;
    if (!read_services(peer->hello.services, &services))
        return STATUS_INVALID; /* it was checked: not reached */
    int r = credit_join(b->credit, services.names, services.count, peer->ref, &peer->seat);
    if (r == STATUS_BUSY)
        return refuse_busy(b, "services", QUEUES_MAX, credit_queues(b->credit));
    if (r == STATUS_INVALID)
        return refuse_field(b, r, "services", "a service is named twice");
    return r;
}

static int admit(struct door *door, struct slice id, struct slice body)
{
    struct broker *b = door->broker;
    struct peer *peer;
    int r = peers_add(b->peers, door->role, id, body, b->now_ms, &peer);
    if (r == STATUS_BUSY)
        return refuse_busy(b, "peers", (uint64_t)b->settings->broker_peers_max,
                           (uint64_t)b->settings->broker_peers_max);
    if (r)
        return r;
    if (peer->role == PEER_WORKER)
        r = take_seat(b, peer);
    if (peer->role == PEER_STATE)
        r = backend_join(b, peer);
    if (r)
        peers_remove(b->peers, &peer);
    return r;
}

static void welcome(struct door *door, struct envelope *in)
{
    struct broker *b = door->broker;
    const struct settings *s = b->settings;
    struct m_welcome welcome = { .epoch = b->epoch,
                                 .heartbeat_ms = (uint32_t)s->heartbeat_ms,
                                 .liveness_ms = (uint32_t)s->liveness_ms,
                                 .lease_ms = (uint32_t)s->lease_ms,
                                 .batch_max = (uint32_t)s->limits_batch,
                                 .body_max = (uint32_t)s->limits_body_bytes,
                                 .window =
                                     door->role == PEER_CLIENT ? (uint32_t)s->broker_window : 0,
                                 .software = SLICE("gantry-broker " GANTRY_VERSION) };
    msgpack_packer pk;
    msgpack_sbuffer_clear(&b->scratch);
    msgpack_packer_init(&pk, &b->scratch, msgpack_sbuffer_write);
    message_encode(&m_welcome_layout, &welcome, &pk);
    reply_scratch(door, in, 0);
}

int hello_on_hello(struct door *door, struct peer *peer, struct envelope *in)
{
    struct m_hello hello = { 0 };
    struct slice body = frame_slice(&in->body);
    int r = check(door, body, &hello);
    if (r == 0 && drain_refuses(door))
        r = refuse_draining(door->broker);
    if (r)
        return r;
    forget_former(door, peer, &hello);
    r = admit(door, frame_slice(&in->peer), body);
    if (r)
        return r;
    welcome(door, in);
    return 0;
}

int hello_on_ping(struct door *door, struct peer *peer, struct envelope *in)
{
    (void)peer;
    reply_ok(door, in);
    return 0;
}

/* A worker's session ends in the store too, which nobody waits for; without a state service its
 * lease runs out. */
int hello_on_bye(struct door *door, struct peer *peer, struct envelope *in)
{
    struct broker *b = door->broker;
    size_t size = zmq_msg_size(&in->body);
    if (size > PEER_HELLO_MAX)
        return refuse_large(b, "body", PEER_HELLO_MAX, size);
    if (in->header.request)
        reply_ok(door, in);
    if (peer->role == PEER_WORKER && b->states.count)
        (void)backend_ask(b, ROUTE_OF_BROKER, (struct peer_ref){ 0 }, &in->header, &in->body);
    hello_forget(b, &peer);
    return 0;
}

const char *hello_name(const struct peer *peer, char text[PEER_NAME])
{
    (void)slice_copy(peer->hello.name, text, PEER_NAME);
    return text;
}
