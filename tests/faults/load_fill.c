/* Submits many tasks that are not to start yet, as fast as receipts come: count=N of them, the k-th
 * not before start_ms + k * span_ms / count (wall clock). Each is faults.work and lasts no time. */
#include "tests/faults/load.h"

#include "proto/gantry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 256, WINDOW = 8, ANSWER_MS = 60000, STEP_MS = 10 };

static size_t under_way;
static uint64_t kept;

static void on_submitted(void *arg, int status, const struct gantry_receipt *receipts, size_t count)
{
    (void)arg;
    under_way--;
    if (status)
        load_die(gantry_status_name(status));
    for (size_t i = 0; i < count; i++)
        if (receipts[i].status)
            load_die(receipts[i].message);
    kept += count;
}

static size_t submit_some(gantry_client_t *client, const char *name, uint64_t first, uint64_t count)
{
    static const char input[] = "\x81\xa4plan\xae"
                                "0 0 0 0 done  "; /* 14 bytes */
    static char ids[BATCH][LOAD_ID];
    struct gantry_task tasks[BATCH];
    uint64_t start_ms = load_number("start_ms", 0), span_ms = load_number("span_ms", 0);
    size_t n = count - first < BATCH ? (size_t)(count - first) : BATCH;
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%s-%" PRIu64, name, first + i);
        tasks[i] =
            (struct gantry_task){ .id = ids[i],
                                  .task = load_nodes[LOAD_WORK],
                                  .input = { input, sizeof input - 1 },
                                  .not_before_ms = start_ms + (first + i) * span_ms / count };
    }
    if (gantry_submit_begin(client, tasks, n, ANSWER_MS, on_submitted, NULL))
        load_die("cannot submit");
    under_way++;
    return n;
}

int load_fill(void)
{
    uint64_t count = load_number("count", 1000), sent = 0;
    const char *name = load_option("name", "d");
    gantry_client_t *client = gantry_client_new(load_option("brokers", ""));
    if (!client)
        load_die("no client could be made");
    while (kept < count) {
        while (sent < count && under_way < WINDOW)
            sent += submit_some(client, name, sent, count);
        if (gantry_client_turn(client, STEP_MS) < 0)
            load_die("the connection failed");
    }
    gantry_client_destroy(&client);
    return 0;
}
