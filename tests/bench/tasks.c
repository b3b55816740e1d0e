/* Tasks to submit: made once, of which each submit changes no more than time and numbers. */

#include "common/clock.h"
#include "proto/codec.h"
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Odd, so that no number comes twice: ids differ all over, as those do which the library mints. */
#define SPREAD 2654435761u

enum { BATCH_MAX = 256, PAYLOAD_MAX = 65536, ID_SIZE = 48 };

static struct gantry_task list[BATCH_MAX];
static char ids[BATCH_MAX][ID_SIZE];
static char *payloads[BATCH_MAX];
static size_t stem;       /* of an id, before its number */
static uint32_t sequence; /* of the next task */

/* {"value": payload}: the input of system.echo. The bytes stay until the program ends. */
static msgpack_sbuffer make_input(size_t payload_size)
{
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    char *payload = malloc(payload_size);
    if (!payload)
        bench_die("out of memory");
    memset(payload, 'x', payload_size);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 1);
    pack_text(&pk, "value");
    pack_slice(&pk, slice_make(payload, payload_size));
    free(payload);
    return buffer;
}

uint64_t bench_tasks_init(void)
{
    const uint64_t size = bench_number("payload", 256);
    const uint64_t batch = bench_number("batch", 1);
    if (size < BENCH_HEADER || size > PAYLOAD_MAX || batch < 1 || batch > BATCH_MAX)
        bench_die("payload= is 24..65536, batch= 1..256");
    /* pids come round again within one system's life: the clock makes ids new */
    const uint64_t now_us = (uint64_t)clock_ns() / 1000;
    for (uint64_t i = 0; i < batch; i++) {
        msgpack_sbuffer input = make_input(size);
        stem = (size_t)snprintf(ids[i], ID_SIZE, "b%" PRIx64 "-%x-", now_us, (unsigned)getpid());
        payloads[i] = input.data + input.size - size;
        list[i] = (struct gantry_task){ .id = ids[i],
                                        .task = "system.echo",
                                        .input = { input.data, input.size } };
    }
    return batch;
}

const struct gantry_task *bench_tasks(uint64_t n, int64_t now_ns)
{
    for (uint64_t i = 0; i < n; i++) {
        bench_stamp(now_ns, payloads[i]);
        bench_hex(sequence, payloads[i] + BENCH_STAMP);
        bench_hex(sequence++ * SPREAD, ids[i] + stem);
    }
    return list;
}
