/* What the command line shows and takes: packed bytes become JSON that packs again, and a KEY=VALUE
 * word becomes bytes that can be sent. The first byte chooses. */
#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/json.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int pack(const json_t *value)
{
    msgpack_sbuffer packed;
    msgpack_packer pk;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    int r = json_pack_value(value, &pk);
    assert(r || codec_check(slice_make(packed.data, packed.size)) == 0);
    msgpack_sbuffer_destroy(&packed);
    return r;
}

static void fuzz_packed(struct slice bytes)
{
    json_t *value = NULL;
    int r = json_from_packed(bytes, &value);
    assert(r == 0 || r == STATUS_MALFORMED);
    if (r)
        return;
    assert(pack(value) == 0);
    scoped_text char *line = json_line(value);
    assert(line);
    json_decref(value);
}

static void fuzz_word(struct slice bytes, bool text_only)
{
    char error[JSON_ERROR] = "";
    scoped_text char *word = slice_dup(bytes);
    json_t *object = json_object();
    assert(word && object);
    int r = json_put_pair(object, word, text_only, error);
    assert((r == 0) == (error[0] == '\0') && (r == 0 || r == STATUS_INVALID));
    r = pack(object);
    assert(r == 0 || r == STATUS_TOO_LARGE);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] & 1)
        fuzz_word(slice_make(data + 1, size - 1), data[0] & 2);
    else if (size)
        fuzz_packed(slice_make(data + 1, size - 1));
    return 0;
}
