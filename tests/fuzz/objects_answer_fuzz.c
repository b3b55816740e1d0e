/* Answers of an object store of any bytes: read within bounds or refused. */
#include "common/objects/answer.h"
#include "common/status.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_row(void *arg, const struct answer_row *row)
{
    size_t *count = arg;
    assert(strlen(row->key) < sizeof row->key && strlen(row->upload) < sizeof row->upload);
    assert(strlen(row->etag) < sizeof row->etag && strlen(row->code) < sizeof row->code);
    assert(row->part <= OBJECTS_PARTS_MAX);
    ++*count;
    return *count > 1000 ? STATUS_TOO_LARGE : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer_page page;
    size_t count = 0;
    const int r = answer_read(NULL, slice_make(data, size), &page, on_row, &count);
    assert(r == 0 || r == STATUS_MALFORMED || r == STATUS_TOO_LARGE);
    if (r == 0)
        assert(page.root[0] && strlen(page.next) < sizeof page.next &&
               strlen(page.message) < sizeof page.message);
    return 0;
}
