/* What decoding and encoding of one task costs, by message. */
#include "proto/codec.h"
#include "proto/envelope.h"
#include "proto/message.h"
#include "tests/instructions/count.h"
#include "tests/instructions/wire.h"

enum { TASKS = 1024 };

static msgpack_sbuffer in, out;
static msgpack_packer packer;

/* The body's one item, checked and read as every reader of such a body does. */
static void decode(const struct message_layout *layout, void *m)
{
    struct slice bytes = slice_make(in.data, in.size);
    struct reader reader;
    struct slice item;
    uint32_t count;
    if (codec_check(bytes) || !codec_array(bytes, &reader, &count) ||
        !reader_value(&reader, &item) || message_decode(layout, item, m, NULL))
        count_die("a body cannot be read");
}

static void decode_task(void)
{
    struct m_task task;
    decode(&m_task_layout, &task);
}

static void decode_result(void)
{
    struct m_result result;
    decode(&m_result_layout, &result);
}

static void decode_handout(void)
{
    struct m_handout handout;
    decode(&m_handout_layout, &handout);
}

static void encode_receipt(void)
{
    static const struct m_receipt receipt = {
        .id = SLICE_INIT("task-00000001"),
        .task = SLICE_INIT("system.echo"),
        .state = SLICE_INIT("pending"),
        .reuse = SLICE_INIT("miss"),
        .durability = SLICE_INIT("everysec"),
    };
    msgpack_sbuffer_clear(&out);
    message_encode(&m_receipt_layout, &receipt, &packer);
}

static void header_both_ways(void)
{
    uint8_t bytes[WIRE_HEADER_MAX];
    size_t size;
    struct header header = { .verb = VERB_SUBMIT, .request = 70000, .epoch = 1u << 31, .count = 1 };
    header.service = SLICE("system");
    if (!header_encode(&header, bytes, &size) || header_decode(&header, slice_make(bytes, size)))
        count_die("a header cannot be read");
}

static void phase(const char *name, void (*once)(void))
{
    once();
    phase_begin();
    count_on();
    for (int i = 0; i < TASKS; i++)
        once();
    count_off();
    phase_end(name, TASKS);
    msgpack_sbuffer_clear(&in);
}

int main(void)
{
    static const uint8_t token[WIRE_LEASE_TOKEN_SIZE];
    msgpack_sbuffer_init(&in);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    phase("codec.header", header_both_ways);
    body_submit(&in, 0, 1);
    phase("codec.submit", decode_task);
    phase("codec.receipt", encode_receipt);
    body_handouts(&in, 0, 0, 1);
    phase("codec.tasks", decode_handout);
    body_done(&in, 0, 0, 1, token);
    phase("codec.done", decode_result);
    return 0;
}
