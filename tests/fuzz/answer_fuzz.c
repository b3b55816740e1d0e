/* What a broker answers libgantry: a record, or the receipts of a submit. The first byte chooses;
 * the session has checked that the body is msgpack. */
#include "common/status.h"
#include "proto/codec.h"
#include "proto/receipts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_record(struct slice body)
{
    gantry_record_t *record = NULL;
    if (record_new(body, &record))
        return;
    const struct gantry_bytes all = gantry_record_bytes(record);
    assert(all.size == body.size && strlen(gantry_record_id(record)) <= body.size);
    assert(strlen(gantry_record_status(record)) + strlen(gantry_record_storage_path(record)) <=
           body.size);
    for (size_t i = 0; i < gantry_record_count(record); i++) {
        const struct gantry_stage *stage = gantry_record_stage(record, i);
        const struct slice history = slice_make(stage->history.data, stage->history.size);
        assert(gantry_record_find(record, stage->task));
        assert(strlen(stage->state) + strlen(stage->priority) + strlen(stage->worker) +
                   strlen(stage->owner) + strlen(stage->error_code) + strlen(stage->error_message) +
                   strlen(stage->error_field) <=
               body.size);
        assert(history.size == 0 || codec_check(history) == 0);
    }
    assert(!gantry_record_stage(record, gantry_record_count(record)));
    gantry_record_destroy(&record);
}

static void fuzz_receipts(struct slice body, uint32_t status)
{
    enum { COUNT = 3 };
    static gantry_client_t client;
    struct gantry_receipt all[COUNT];
    const uint32_t order[COUNT] = { 2, 0, 1 };
    const struct header header = { .verb = VERB_SUBMIT, .status = status };
    memset(all, 0xff, sizeof all);
    struct answer answer = answer_of(&client, &header, body, COUNT);
    receipts_read(&answer, all, order, 1);
    receipts_read(&answer, all, order + 1, COUNT - 1);
    for (size_t i = 0; i < COUNT; i++)
        for (const char *at = all[i].message; *at; at++)
            assert(at < all[i].message + sizeof all[i].message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice body = size ? slice_make(data + 1, size - 1) : (struct slice){ 0 };
    if (size == 0 || codec_check(body))
        return 0;
    if (data[0] & 1)
        fuzz_receipts(body, data[0] & 2 ? STATUS_BUSY : 0);
    else
        fuzz_record(body);
    return 0;
}
