/* The load roles, on libgantry as any user has it. */
#include "common/clock.h"
#include "proto/codec.h"
#include "proto/message.h"
#include "tests/bench/bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODE "system.echo"

enum { STEP_MS = 1000, PACE_MS = 1, CALL_MS = 20000, REGISTER_MS = 500, AGAIN_US = 20000 };

/* ---- a worker ---- */

static void echo(gantry_job_t *job, void *arg)
{
    static char output[] = "\x81\xa5value\xb0................"; /* {"value": stamp} */
    enum { SIZE = sizeof output - 1 };
    int64_t now_ns = clock_ns();
    (void)arg;
    bench_stamp(now_ns, output + SIZE - BENCH_STAMP);
    gantry_job_done(job, &(struct gantry_end){ .output = { output, SIZE } });
    bench_count(1, now_ns);
}

static gantry_worker_t *new_worker(uint64_t slots)
{
    static const struct gantry_input inputs[] = { { .name = "value", .type = "any" } };
    static const char *const outputs[] = { "value", NULL };
    static const struct gantry_node node = {
        .name = NODE, .inputs = inputs, .inputs_count = 1, .outputs = outputs, .run = echo
    };
    char endpoints[BENCH_ENDPOINTS];
    bench_endpoints("workers", endpoints);
    struct gantry_worker_options settings = {
        .brokers = endpoints, .slots = (uint32_t)slots, .nodes = &node, .nodes_count = 1
    };
    gantry_worker_t *self = gantry_worker_new(&settings);
    if (!self)
        bench_die("no worker could be made");
    return self;
}

/* ---- a client ---- */

/* Nothing can be submitted to a node that no worker ever registered: one comes and goes. */
static void make_node_known(void)
{
    gantry_worker_t *passing = new_worker(1);
    (void)gantry_worker_run(passing, REGISTER_MS);
    gantry_worker_drain(passing);
    (void)gantry_worker_run(passing, CALL_MS);
    gantry_worker_destroy(&passing);
}

/* What is there; a broker that has just begun may be without its state service for a moment. */
static int ask_for_nodes(gantry_client_t *client, void **ret_nodes, size_t *ret_size)
{
    const struct gantry_bytes nothing = { 0 };
    int r = GANTRY_UNAVAILABLE;
    for (int64_t end_ms = clock_ms() + CALL_MS; r == GANTRY_UNAVAILABLE && clock_ms() < end_ms;) {
        r = gantry_call(client, VERB_NODES, "", nothing, CALL_MS, ret_nodes, ret_size);
        if (r == GANTRY_UNAVAILABLE) {
            free(*ret_nodes);
            *ret_nodes = NULL;
            (void)usleep(AGAIN_US);
        }
    }
    return r;
}

static gantry_client_t *connect_client(void)
{
    char endpoints[BENCH_ENDPOINTS];
    void *nodes = NULL;
    size_t size;
    bench_endpoints("clients", endpoints);
    gantry_client_t *client = gantry_client_new(endpoints);
    if (!client || ask_for_nodes(client, &nodes, &size))
        bench_die("no system answers");
    if (!memmem(nodes, size, NODE, strlen(NODE)))
        make_node_known();
    free(nodes);
    return client;
}

/* ---- produce ---- */

static uint64_t settled; /* tasks with a receipt */

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t count)
{
    (void)arg;
    if (status)
        bench_die(gantry_status_name(status));
    for (size_t i = 0; i < count; i++)
        if (receipts[i].status)
            bench_die(receipts[i].message);
    settled += count;
}

/* How many tasks may have been sent by now. */
static uint64_t allowed(uint64_t tasks, uint64_t rate, int64_t since_ns)
{
    uint64_t due = rate ? (uint64_t)((double)since_ns * (double)rate / 1e9) : tasks;
    return due < tasks ? due : tasks;
}

static uint64_t submit_some(gantry_client_t *client, uint64_t n)
{
    if (gantry_submit_begin(client, bench_tasks(n, clock_ns()), n, 0, on_submitted, NULL))
        bench_die("cannot submit");
    return n;
}

int bench_produce(void)
{
    const uint64_t tasks = bench_number("tasks", 1000), window = bench_number("window", 256);
    const uint64_t rate = bench_number("rate", 0), batch = bench_tasks_init();
    gantry_client_t *client = connect_client();
    if (bench_number("merge", 1) == 0)
        gantry_client_merge(client, 1);
    bench_ready();
    uint64_t sent = 0, counted = 0;
    for (int64_t start_ns = clock_ns(); settled < tasks; counted = settled) {
        const uint64_t most = allowed(tasks, rate, rate ? clock_ns() - start_ns : 0);
        while (sent < most && sent - settled < window)
            sent += submit_some(client, most - sent < batch ? most - sent : batch);
        if (gantry_client_turn(client, rate ? PACE_MS : STEP_MS))
            bench_die("the connection failed");
        if (settled > counted)
            bench_count(settled - counted, clock_ns());
    }
    bench_end(true);
    gantry_client_destroy(&client);
    return 0;
}

/* ---- work ---- */

static gantry_worker_t *worker;
static volatile sig_atomic_t terminated;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    terminated = 1;
    if (worker)
        gantry_worker_drain(worker);
}

/* The worker itself comes after READY: from the moment it is there it takes tasks. */
int bench_work(void)
{
    int r = GANTRY_TIMEOUT;
    signal(SIGTERM, on_terminate);
    gantry_client_t *client = connect_client();
    gantry_client_destroy(&client);
    bench_ready();
    worker = new_worker(bench_number("window", 256));
    if (terminated)
        gantry_worker_drain(worker);
    while (r == GANTRY_TIMEOUT)
        r = gantry_worker_run(worker, STEP_MS);
    bench_end(false);
    if (r)
        bench_die(gantry_status_name(r));
    gantry_worker_destroy(&worker);
    return 0;
}

/* ---- rtt ---- */

static int64_t worked_ns(const gantry_record_t *record)
{
    const struct gantry_stage *stage = gantry_record_find(record, NODE);
    struct slice value, text;
    if (!stage ||
        !codec_find(slice_make(stage->output.data, stage->output.size), "value", &value) ||
        !codec_str(value, &text) || text.size != BENCH_STAMP)
        bench_die("a result is not what the worker sends");
    return bench_unstamp((const char *)text.data);
}

int bench_rtt(void)
{
    const uint64_t tasks = bench_number("tasks", 1000);
    const uint64_t pause_us = 1000 * bench_number("pause_ms", 0);
    (void)bench_tasks_init();
    gantry_client_t *client = connect_client();
    bench_ready();
    for (uint64_t i = 0; i < tasks; i++) {
        struct gantry_receipt receipt;
        gantry_record_t *record = NULL;
        const int64_t start_ns = clock_ns();
        const struct gantry_task *task = bench_tasks(1, start_ns);
        if (gantry_submit(client, task, 1, &receipt, CALL_MS) || receipt.status ||
            gantry_wait(client, task->id, task->task, CALL_MS, &record))
            bench_die("a task did not come back");
        const int64_t now_ns = clock_ns();
        bench_say("L %lld %lld\n", (long long)(worked_ns(record) - start_ns),
                  (long long)(now_ns - start_ns));
        gantry_record_destroy(&record);
        bench_count(1, now_ns);
        if (pause_us)
            usleep((useconds_t)pause_us);
    }
    bench_end(true);
    gantry_client_destroy(&client);
    return 0;
}

/* ---- probe ---- */

int bench_probe(void)
{
    enum { TRY_MS = 100 };
    char endpoints[BENCH_ENDPOINTS];
    bool accepted = false;
    bench_endpoints("clients", endpoints);
    (void)bench_tasks_init();
    while (!accepted) { /* a new client each time: an old one would rest ever longer */
        struct gantry_receipt receipt;
        gantry_client_t *client = gantry_client_new(endpoints);
        if (!client)
            bench_die("no client could be made");
        accepted = gantry_submit(client, bench_tasks(1, clock_ns()), 1, &receipt, TRY_MS) == 0 &&
                   receipt.status == 0;
        gantry_client_destroy(&client);
    }
    bench_say("D %lld\n", (long long)clock_ns());
    return 0;
}
