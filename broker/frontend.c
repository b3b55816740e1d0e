#include "broker/frontend.h"

#include "broker/backend.h"
#include "broker/drain.h"
#include "broker/hello.h"
#include "broker/refuse.h"
#include "broker/reply.h"
#include "broker/report.h"
#include "common/status.h"

static int check_limits(struct broker *b, struct envelope *in)
{
    const struct settings *s = b->settings;
    size_t size = zmq_msg_size(&in->body);
    if (in->header.count > s->limits_batch)
        return refuse_large(b, "count", (uint64_t)s->limits_batch, in->header.count);
    if (size > (uint64_t)s->limits_body_bytes)
        return refuse_large(b, "body", (uint64_t)s->limits_body_bytes, size);
    return 0;
}

static int forward(struct door *door, enum route_payer payer, struct peer *peer,
                   struct envelope *in)
{
    int r = check_limits(door->broker, in);
    return r ? r : backend_ask(door->broker, payer, peer->ref, &in->header, &in->body);
}

static int on_client_request(struct door *door, struct peer *peer, struct envelope *in)
{
    struct broker *b = door->broker;
    if (peer->open >= b->settings->broker_window && !verb_waits(in->header.verb))
        return refuse_busy(b, "window", (uint64_t)b->settings->broker_window, peer->open);
    return forward(door, ROUTE_OF_CLIENT, peer, in);
}

static int on_worker_request(struct door *door, struct peer *peer, struct envelope *in)
{
    return forward(door, ROUTE_OF_WORKER, peer, in);
}

static int on_claim(struct door *door, struct peer *peer, struct envelope *in)
{
    struct broker *b = door->broker;
    int r = check_limits(b, in);
    if (r)
        return r;
    if (in->header.count == 0)
        return refuse_field(b, STATUS_INVALID, "count", "a CLAIM asks for at least one task");
    if (credit_park(b->credit, peer->seat, &in->header, &in->body))
        return refuse_busy(b, "claims", CREDIT_CLAIMS_MAX, CREDIT_CLAIMS_MAX);
    return 0;
}

static int on_status(struct door *door, struct peer *peer, struct envelope *in)
{
    (void)peer;
    report_status(door->broker);
    reply_scratch(door, in, 0);
    return 0;
}

static int on_workers(struct door *door, struct peer *peer, struct envelope *in)
{
    (void)peer;
    reply_scratch(door, in, report_workers(door->broker));
    return 0;
}

/* An operator says no HELLO, so its first forwarded question makes the entry that the answer finds.
 */
static int on_operator_request(struct door *door, struct peer *peer, struct envelope *in)
{
    struct broker *b = door->broker;
    struct slice nothing = { 0 };
    int r = peer ? 0
                 : peers_add(b->peers, PEER_OPERATOR, frame_slice(&in->peer), nothing, b->now_ms,
                             &peer);
    if (r == STATUS_BUSY)
        return refuse_busy(b, "peers", (uint64_t)b->settings->broker_peers_max,
                           (uint64_t)b->settings->broker_peers_max);
    return r ? r : on_client_request(door, peer, in);
}

// clang-format off
verb_fn *const client_says[VERB_END] = {
    [VERB_HELLO] = hello_on_hello,
    [VERB_PING] = hello_on_ping,
    [VERB_BYE] = hello_on_bye,
    [VERB_SUBMIT] = on_client_request,
    [VERB_GET] = on_client_request,
    [VERB_WAIT] = on_client_request,
    [VERB_LIST] = on_client_request,
    [VERB_CANCEL] = on_client_request,
    [VERB_NODES] = on_client_request,
    [VERB_SUBSCRIBE] = on_client_request,
    [VERB_WHY] = on_client_request,
    [VERB_REPLAY] = on_client_request,
    [VERB_PURGE] = on_client_request,
    [VERB_FORGET] = on_client_request,
    [VERB_CREATE_TASK] = on_client_request,
    [VERB_GET_TASK_STATUS] = on_client_request,
    [VERB_TASKS] = on_client_request,
    [VERB_DISK] = on_client_request,
    [VERB_LEDGER] = on_client_request,
    [VERB_STEER] = on_client_request,
    [VERB_CRON] = on_client_request,
    [VERB_QUEUES] = on_client_request,
    [VERB_STATUS] = on_status,
    [VERB_WORKERS] = on_workers,
};

verb_fn *const worker_says[VERB_END] = {
    [VERB_HELLO] = hello_on_hello,
    [VERB_PING] = hello_on_ping,
    [VERB_BYE] = hello_on_bye,
    [VERB_CLAIM] = on_claim,
    [VERB_HEARTBEAT] = on_worker_request,
    [VERB_DONE] = on_worker_request,
    [VERB_RETURN] = on_worker_request,
    [VERB_REGISTER] = on_worker_request,
};

verb_fn *const operator_says[VERB_END] = {
    [VERB_STATUS] = on_status,
    [VERB_WORKERS] = on_workers,
    [VERB_QUEUES] = on_operator_request,
    [VERB_SUBSCRIBE] = on_operator_request,
    [VERB_LEDGER] = on_operator_request,
    [VERB_DISK] = on_operator_request,
    [VERB_STEER] = on_operator_request,
    [VERB_DRAIN] = drain_on_drain,
};
// clang-format on
