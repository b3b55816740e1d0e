/* What uploads and downloads are asked for by, as far as our own code reads it: the first byte
 * chooses, and the second one how large the pieces are. */
#include "common/scoped.h"
#include "common/status.h"
#include "common/utf8.h"
#include "services/front/multipart.h"
#include "services/front/range.h"
#include "services/front/tus_head.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All of it in pieces: the same content and the same end, however they are cut. */
static size_t read_all(struct slice bytes, size_t piece, struct multipart *self)
{
    size_t content = 0;
    for (size_t at = 0; at < bytes.size; at += piece) {
        const size_t size = bytes.size - at < piece ? bytes.size - at : piece;
        struct slice input = slice_make((const char *)bytes.data + at, size), given = { 0 };
        enum multipart_event event = MULTIPART_PART;
        while (event != MULTIPART_MORE && event != MULTIPART_WRONG) {
            event = multipart_next(self, &input, piece, &given);
            assert(event != MULTIPART_DATA || (given.size > 0 && given.size <= piece));
            content += event == MULTIPART_DATA ? given.size : 0;
        }
        assert((event == MULTIPART_WRONG) == (self->wrong != NULL));
        if (self->wrong)
            break;
    }
    return content;
}

static void fuzz_multipart(struct slice bytes)
{
    static const char type[] = "multipart/form-data; boundary=X";
    const size_t piece = bytes.size ? (size_t) * (const uint8_t *)bytes.data + 1 : 1;
    struct multipart whole, cut;
    assert(multipart_init(&whole, type) && multipart_init(&cut, type));
    const size_t a = read_all(bytes, bytes.size + 1, &whole), b = read_all(bytes, piece, &cut);
    assert(multipart_whole(&whole) == multipart_whole(&cut));
    assert(whole.wrong == cut.wrong && (whole.wrong || a == b) && a <= bytes.size);
}

static void fuzz_type(struct slice bytes)
{
    scoped_text char *text = slice_dup(bytes);
    struct multipart self;
    assert(text);
    if (multipart_init(&self, text))
        assert(self.mark_size > 4 && self.mark_size <= sizeof self.mark);
}

static void fuzz_range(struct slice bytes)
{
    scoped_text char *given = slice_dup(bytes);
    char range[RANGE_TEXT], again[RANGE_TEXT], name[RANGE_NAME];
    assert(given);
    if (range_read(given, range)) {
        assert(range_read(range, again));
        assert(strcmp(range, again) == 0);
    }
    (void)range_etag_listed(given, "a");
    range_disposition(given, name);
    for (const char *c = name; *c; c++)
        assert(*c >= ' ' && *c < 0x7f);
}

static void fuzz_metadata(struct slice bytes)
{
    scoped_text char *text = slice_dup(bytes);
    char value[TUS_VALUE_MAX + 1];
    struct tus_checksum sum;
    uint64_t number = 0;
    assert(text);
    if (tus_metadata_read(text, "a", value) == 0)
        assert(utf8_is(slice_of(value)));
    if (tus_checksum_read(text, &sum) == 0)
        assert(sum.size >= 16 && sum.size <= 32);
    if (tus_number_read(text, &number))
        assert(number <= 999999999999999999);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(struct slice bytes) = { fuzz_multipart, fuzz_type, fuzz_range,
                                                         fuzz_metadata };
    if (size)
        parts[data[0] % (sizeof parts / sizeof *parts)](slice_make(data + 1, size - 1));
    return 0;
}
