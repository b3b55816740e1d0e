/* The load roles, on libgantry as any user has it. */
#include "common/clock.h"
#include "proto/codec.h"
#include "proto/gantry.h"
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH_MAX = 256, PAYLOAD_MAX = 65536, ID_SIZE = 64, STEP_MS = 10 };

static uint64_t payload_size, batch, window, tasks;
static char id_stem[32];

static void options(void)
{
    payload_size = bench_number("payload", 256);
    batch = bench_number("batch", 1);
    window = bench_number("window", 256);
    tasks = bench_number("tasks", 1000);
    if (payload_size < BENCH_HEADER || payload_size > PAYLOAD_MAX || batch < 1 || batch > BATCH_MAX)
        bench_die("payload= is 24..65536, batch= 1..256");
    /* pids come round again within one system's life: the clock makes ids new */
    (void)snprintf(id_stem, sizeof id_stem, "b%" PRIx64 "-%d", (uint64_t)clock_ns(), (int)getpid());
}

/* {"value": payload}: input of system.echo. */
struct input {
    uint8_t bytes[PAYLOAD_MAX + 16];
    size_t size;
};

static void fill(struct input *input, uint64_t sequence)
{
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    char stamp[BENCH_HEADER + 1];
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 1);
    pack_text(&pk, "value");
    if (input->size == 0) {
        memset(input->bytes + 16, 'x', payload_size);
        pack_slice(&pk, slice_make(input->bytes + 16, payload_size));
        memcpy(input->bytes, buffer.data, buffer.size);
        input->size = buffer.size;
    }
    msgpack_sbuffer_destroy(&buffer);
    (void)snprintf(stamp, sizeof stamp, "%016" PRIx64 "%08" PRIx32, (uint64_t)clock_ns(),
                   (uint32_t)sequence);
    memcpy(input->bytes + input->size - payload_size, stamp, BENCH_HEADER);
}

static struct gantry_bytes input_bytes(const struct input *input)
{
    return (struct gantry_bytes){ input->bytes, input->size };
}

/* ---- produce ---- */

static uint64_t sent, settled;

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t count)
{
    (void)arg;
    if (status)
        bench_die(gantry_status_name(status));
    for (size_t i = 0; i < count; i++)
        if (receipts[i].status)
            bench_die(receipts[i].message);
    settled += count;
    bench_count(count);
}

static void submit_some(gantry_client_t *client)
{
    static struct input input;
    static char ids[BATCH_MAX][ID_SIZE];
    struct gantry_task list[BATCH_MAX];
    size_t n = tasks - sent < batch ? (size_t)(tasks - sent) : (size_t)batch;
    fill(&input, sent);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(ids[i], ID_SIZE, "%s-%" PRIu64, id_stem, sent + i);
        list[i] = (struct gantry_task){ .id = ids[i],
                                        .task = "system.echo",
                                        .input = input_bytes(&input) };
    }
    if (gantry_submit_begin(client, list, n, 0, on_submitted, NULL))
        bench_die("cannot submit");
    sent += n;
}

static gantry_client_t *connect_client(void)
{
    char endpoint[BENCH_TEXT];
    void *body = NULL;
    size_t size;
    bench_endpoint("clients", endpoint);
    gantry_client_t *client = gantry_client_new(endpoint);
    if (!client || gantry_call(client, 30, "", (struct gantry_bytes){ 0 }, 20000, &body, &size))
        bench_die("no system answers");
    free(body);
    return client;
}

int bench_produce(void)
{
    options();
    gantry_client_t *client = connect_client();
    bench_ready();
    while (settled < tasks) {
        while (sent < tasks && sent - settled < window)
            submit_some(client);
        if (gantry_client_turn(client, STEP_MS))
            bench_die("the connection failed");
    }
    bench_flush();
    bench_say("D %lld\n", (long long)clock_ns());
    gantry_client_destroy(&client);
    return 0;
}

/* ---- work ---- */

static gantry_worker_t *worker;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    gantry_worker_drain(worker);
}

static void echo(gantry_job_t *job, void *arg)
{
    uint8_t output[32];
    char stamp[BENCH_STAMP + 1];
    (void)arg;
    (void)snprintf(stamp, sizeof stamp, "%016" PRIx64, (uint64_t)clock_ns());
    memcpy(output, "\x81\xa5value\xb0", 8);
    memcpy(output + 8, stamp, BENCH_STAMP);
    gantry_job_done(job, &(struct gantry_end){ .output = { output, 8 + BENCH_STAMP } });
    bench_count(1);
}

int bench_work(void)
{
    static const struct gantry_input inputs[] = { { .name = "value", .type = "any" } };
    static const char *const outputs[] = { "value", NULL };
    const struct gantry_node node = {
        .name = "system.echo", .inputs = inputs, .inputs_count = 1, .outputs = outputs, .run = echo
    };
    char endpoint[BENCH_TEXT];
    bench_endpoint("workers", endpoint);
    struct gantry_worker_options settings = { .brokers = endpoint,
                                              .slots = (uint32_t)bench_number("window", 256),
                                              .nodes = &node,
                                              .nodes_count = 1 };
    worker = gantry_worker_new(&settings);
    if (!worker)
        bench_die("no worker could be made");
    signal(SIGTERM, on_terminate);
    /* registered before READY, so that producers find the node known */
    (void)gantry_worker_run(worker, 500);
    bench_ready();
    while (gantry_worker_run(worker, STEP_MS) == GANTRY_TIMEOUT)
        bench_flush();
    bench_flush();
    gantry_worker_destroy(&worker);
    return 0;
}

/* ---- rtt ---- */

static int64_t worked_ns(const gantry_record_t *record)
{
    const struct gantry_stage *stage = gantry_record_find(record, "system.echo");
    struct slice value, text;
    char stamp[BENCH_STAMP + 1];
    if (!stage ||
        !codec_find(slice_make(stage->output.data, stage->output.size), "value", &value) ||
        !codec_str(value, &text) || !slice_copy(text, stamp, sizeof stamp))
        bench_die("a result is not what the worker sends");
    return (int64_t)strtoull(stamp, NULL, 16);
}

int bench_rtt(void)
{
    static struct input input;
    char id[ID_SIZE];
    options();
    gantry_client_t *client = connect_client();
    bench_ready();
    for (uint64_t i = 0; i < tasks; i++) {
        struct gantry_receipt receipt;
        gantry_record_t *record = NULL;
        int64_t start = clock_ns();
        (void)snprintf(id, sizeof id, "%s-%" PRIu64, id_stem, i);
        fill(&input, i);
        struct gantry_task task = { .id = id, .task = "system.echo", .input = input_bytes(&input) };
        if (gantry_submit(client, &task, 1, &receipt, 20000) || receipt.status ||
            gantry_wait(client, id, "system.echo", 20000, &record))
            bench_die("a task did not come back");
        bench_say("L %lld %lld\n", (long long)(worked_ns(record) - start),
                  (long long)(clock_ns() - start));
        gantry_record_destroy(&record);
        bench_count(1);
    }
    bench_flush();
    bench_say("D %lld\n", (long long)clock_ns());
    gantry_client_destroy(&client);
    return 0;
}
