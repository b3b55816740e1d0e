/* An item of a SUBMIT: refused, or its packed body reads as what was said. */
#include "proto/codec.h"
#include "services/state/record.h"
#include "services/state/task.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(const struct m_task *task, const struct limits *limits)
{
    msgpack_sbuffer packed;
    msgpack_packer pk;
    struct body body;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    task_pack_body(task, limits, PRIORITY_HIGH, 1, false, &pk);
    assert(body_read(slice_make(packed.data, packed.size), &body));
    assert(slice_equal(body.token, task->token) && slice_equal(body.owner, task->owner));
    assert(body.timeout_ms == task->timeout_ms && slice_is(body.priority, "high"));
    assert(codec_check(body.input) == 0);
    if (task->input.size && !codec_is_nil(task->input))
        assert(slice_equal(body.input, task->input));

    msgpack_sbuffer_clear(&packed);
    task_pack_extra(task, &pk);
    assert(packed.size == 0 || codec_check(slice_make(packed.data, packed.size)) == 0);
    msgpack_sbuffer_destroy(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct limits usual = { .failures_max = 16, .crashes_max = 3 };
    const struct slice item = slice_make(data, size);
    struct refusal why = { 0 };
    struct m_task task;
    if (codec_check(item))
        return 0;
    int r = task_read(item, INT64_C(1800000000000), &task, &why);
    assert(r == why.status && r >= 0);
    if (r)
        return 0;
    struct limits limits = { task.failures_max, task.crashes_max, task.retry_ms };
    limits_fill(&limits, &usual);
    assert(limits.failures_max && limits.failures_max <= FAILURES_MOST);
    assert(limits.crashes_max && limits.crashes_max <= CRASHES_MOST);
    read_back(&task, &limits);
    return 0;
}
