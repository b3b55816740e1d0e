#include "broker/report.h"

#include "common/scoped.h"
#include "proto/codec.h"

#include <stdio.h>
#include <unistd.h>

static msgpack_packer begin(struct broker *b)
{
    msgpack_packer pk;
    msgpack_sbuffer_clear(&b->scratch);
    msgpack_packer_init(&pk, &b->scratch, msgpack_sbuffer_write);
    return pk;
}

static void pack_figure(msgpack_packer *pk, const char *name, uint64_t value)
{
    pack_text(pk, name);
    msgpack_pack_uint64(pk, value);
}

static void pack_word(msgpack_packer *pk, const char *name, struct slice value)
{
    pack_text(pk, name);
    pack_slice(pk, value);
}

/* Second figure of statm; 0 where there is no /proc. */
static uint64_t rss_bytes(void)
{
    char line[128] = "";
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm)
        return 0;
    char *end = fgets(line, sizeof line, statm);
    (void)fclose(statm);
    if (!end)
        return 0;
    (void)strtoull(line, &end, 10);
    return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void pack_peers(struct broker *b, msgpack_packer *pk)
{
    pack_text(pk, "peers");
    msgpack_pack_map(pk, 3);
    pack_figure(pk, "clients", peers_count(b->peers, PEER_CLIENT));
    pack_figure(pk, "workers", peers_count(b->peers, PEER_WORKER));
    pack_figure(pk, "states", peers_count(b->peers, PEER_STATE));
}

static void pack_counters(const struct broker *b, msgpack_packer *pk)
{
#define COUNTER_ONE(name) +1
    enum { COUNT = 0 COUNTERS(COUNTER_ONE) };
#undef COUNTER_ONE
    pack_text(pk, "counters");
    msgpack_pack_map(pk, COUNT);
#define COUNTER_PACK(name) pack_figure(pk, #name, b->counters.name);
    COUNTERS(COUNTER_PACK)
#undef COUNTER_PACK
}

static void pack_queue(void *arg, const struct credit_queue *queue)
{
    msgpack_packer *pk = arg;
    msgpack_pack_map(pk, 4);
    pack_word(pk, "service", queue->service);
    pack_figure(pk, "parked", queue->parked);
    pack_figure(pk, "in_flight", queue->in_flight);
    pack_text(pk, "ready");
    queue->ready ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
}

static uint64_t requests(const struct broker *b)
{
    uint64_t count = 0;
    for (int i = 0; i < ROUTE_PAYERS; i++)
        count += routes_count(b->routes, (enum route_payer)i);
    return count;
}

static uint64_t request_bytes(const struct broker *b)
{
    uint64_t bytes = 0;
    for (int i = 0; i < ROUTE_PAYERS; i++)
        bytes += routes_bytes(b->routes, (enum route_payer)i);
    return bytes;
}

void report_status(struct broker *b)
{
    msgpack_packer pk = begin(b);
    msgpack_pack_map(&pk, 12);
    pack_word(&pk, "software", SLICE("gantry-broker " GANTRY_VERSION));
    pack_figure(&pk, "epoch", b->epoch);
    pack_figure(&pk, "pid", (uint64_t)getpid());
    pack_figure(&pk, "uptime_ms", (uint64_t)(b->now_ms - b->started_ms));
    pack_text(&pk, "draining");
    b->draining_ms ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk);
    pack_peers(b, &pk);
    pack_figure(&pk, "requests_in_flight", requests(b));
    pack_figure(&pk, "request_bytes_in_flight", request_bytes(b));
    pack_figure(&pk, "claims_parked", credit_parked(b->credit));
    pack_counters(b, &pk);
    pack_text(&pk, "queues");
    msgpack_pack_array(&pk, credit_queues(b->credit));
    credit_each(b->credit, pack_queue, &pk);
    pack_figure(&pk, "rss_bytes", rss_bytes());
}

enum { SESSION_SHOWN = 4 }; /* bytes */

/* Its beginning tells sessions apart; who knows all of it can speak in the worker's name. */
static void pack_session(msgpack_packer *pk, struct slice session)
{
    char text[2 * SESSION_SHOWN];
    const uint8_t *bytes = session.data;
    static const char digits[] = "0123456789abcdef";
    size_t size = 0;
    for (size_t i = 0; i < SESSION_SHOWN && i < session.size; i++) {
        text[size++] = digits[bytes[i] >> 4];
        text[size++] = digits[bytes[i] & 15];
    }
    pack_word(pk, "session", slice_make(text, size));
}

static void pack_worker(const struct broker *b, msgpack_packer *pk, const struct peer *worker)
{
    const struct m_hello *hello = &worker->hello;
    msgpack_pack_map(pk, 10);
    pack_word(pk, "name", hello->name);
    pack_session(pk, hello->session);
    pack_word(pk, "host", hello->host);
    pack_figure(pk, "pid", hello->pid);
    pack_text(pk, "services");
    pack_raw(pk, hello->services);
    pack_figure(pk, "slots", hello->slots);
    pack_figure(pk, "parked", seat_parked(worker->seat));
    pack_word(pk, "software", hello->software);
    pack_figure(pk, "connected_ms", (uint64_t)(b->now_ms - worker->connected_ms));
    pack_figure(pk, "silent_ms", (uint64_t)(b->now_ms - worker->heard_ms));
}

uint32_t report_workers(struct broker *b)
{
    msgpack_packer pk = begin(b);
    uint32_t count = peers_count(b->peers, PEER_WORKER);
    uint32_t cursor = 0;
    msgpack_pack_array(&pk, count);
    for (struct peer *worker; (worker = peers_next(b->peers, PEER_WORKER, &cursor));)
        pack_worker(b, &pk, worker);
    return count;
}
