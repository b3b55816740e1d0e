#include "broker/broker.h"

#include "broker/backend.h"
#include "broker/door.h"
#include "broker/endpoint.h"
#include "broker/frontend.h"
#include "broker/janitor.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static const struct {
    verb_fn *const *says;
    bool open_to_all;
} rules[PEER_ROLES] = {
    [PEER_CLIENT] = { client_says, false },
    [PEER_WORKER] = { worker_says, false },
    [PEER_STATE] = { backend_says, false },
    [PEER_OPERATOR] = { operator_says, true },
};

/* Never 0, which a peer says before it knows. */
static int roll_epoch(uint32_t *ret_epoch)
{
    uint32_t epoch = 0;
    while (epoch == 0)
        if (getrandom(&epoch, sizeof epoch, 0) != (ssize_t)sizeof epoch)
            return -errno;
    *ret_epoch = epoch;
    return 0;
}

static int make_tables(struct broker *b)
{
    const struct settings *s = b->settings;
    uint32_t peers_max = (uint32_t)s->broker_peers_max;
    uint32_t claims_max = peers_max * CREDIT_CLAIMS_MAX;
    b->peers = peers_new(peers_max);
    b->credit = credit_new(QUEUES_MAX, claims_max);
    b->routes = routes_new((uint32_t)s->broker_requests_max, (uint64_t)s->broker_request_bytes_max,
                           claims_max, b->epoch);
    return b->peers && b->credit && b->routes ? 0 : -ENOMEM;
}

static int open_doors(struct broker *b)
{
    const struct settings *s = b->settings;
    const char *const endpoints[PEER_ROLES] = { s->broker_clients, s->broker_workers,
                                                s->broker_states, s->broker_status };
    for (int i = 0; i < PEER_ROLES; i++) {
        char error[ENDPOINT_ERROR] = "";
        struct door *door = &b->doors[i];
        *door = (struct door){ .broker = b,
                               .role = (enum peer_role)i,
                               .open_to_all = rules[i].open_to_all,
                               .says = rules[i].says };
        int r = door_open(door, endpoints[i], error);
        if (r) {
            log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", *error ? error : strerror(-r));
            return r < 0 ? r : -EINVAL;
        }
    }
    return 0;
}

static int start(program_t *program, const struct settings *settings, void **ret_self)
{
    struct broker *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    *ret_self = b;
    b->program = program;
    b->settings = settings;
    b->started_ms = b->now_ms = clock_ms();
    envelope_init(&b->in);
    msgpack_sbuffer_init(&b->scratch);
    /* ZeroMQ aborts when an ipc:// connection finds no descriptor free */
    program_raise_files(
        "broker.peers_max", settings->broker_peers_max,
        "more connections than files may be open end the broker: raise the hard limit");
    int r = roll_epoch(&b->epoch);
    if (r == 0)
        r = make_tables(b);
    if (r == 0)
        r = janitor_start(b);
    if (r) {
        log_event(LOG_LEVEL_ERROR, "not_started", "why=%s", strerror(-r));
        return r;
    }
    r = open_doors(b);
    if (r == 0)
        log_event(LOG_LEVEL_INFO, "started", "clients=%s workers=%s states=%s status=%s epoch=%u",
                  settings->broker_clients, settings->broker_workers, settings->broker_states,
                  settings->broker_status, b->epoch);
    return r;
}

/* Nothing to wait for: whoever asked asks again, the next broker or this one's successor. */
static void stop(void *self)
{
    struct broker *b = self;
    log_event(LOG_LEVEL_INFO, "stopped", "uptime_ms=%lld received=%llu sent=%llu",
              (long long)(clock_ms() - b->started_ms), (unsigned long long)b->counters.received,
              (unsigned long long)b->counters.sent);
    program_end(b->program, 0);
}

static void destroy(void *self)
{
    struct broker *b = self;
    janitor_stop(b);
    for (int i = 0; i < PEER_ROLES; i++)
        door_close(&b->doors[i]);
    envelope_clear(&b->in);
    routes_destroy(&b->routes);
    /* seats lie in credit, which ends those that are left */
    credit_destroy(&b->credit);
    peers_destroy(&b->peers);
    msgpack_sbuffer_destroy(&b->scratch);
    free(b);
}

int broker_let_in(void *self, const char *endpoint)
{
    const struct broker *b = self;
    return zmq_bind(b->doors[PEER_STATE].socket, endpoint) ? -errno : 0;
}

const struct program_row broker_row = {
    .name = "gantry-broker",
    .summary = "brings clients, workers and state services together; keeps nothing",
    .examples = "  gantry-broker --config /etc/gantry.yaml\n"
                "  gantry-broker --broker-clients tcp://127.0.0.1:7470 --broker-workers "
                "tcp://127.0.0.1:7471\n"
                "  GANTRY_LOG_LEVEL=debug gantry-broker\n",
    .used_by = USED_BY_BROKER,
    .start = start,
    .stop = stop,
    .destroy = destroy,
};
