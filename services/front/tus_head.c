#include "services/front/tus_head.h"

#include "common/status.h"
#include "common/utf8.h"

bool tus_number_read(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    const size_t size = strlen(text);
    if (size == 0 || size > 18 || strspn(text, "0123456789") != size)
        return false;
    for (const char *c = text; *c; c++)
        number = number * 10 + (uint64_t)(*c - '0');
    *ret_number = number;
    return true;
}

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Whole groups of four, the last one filled up with =. False also when it does not fit. */
static bool decode(struct slice text, uint8_t *bytes, size_t room, size_t *ret_size)
{
    const char *c = text.data;
    size_t size = 0, filling = 0;
    uint32_t bits = 0;
    if (text.size % 4)
        return false;
    while (filling < 2 && filling < text.size && c[text.size - 1 - filling] == '=')
        filling++;
    const char *end = c + (text.size - filling);
    for (size_t i = 0; c + i != end; i++) {
        const int value = digit(c[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue;
        if (size == room)
            return false;
        bytes[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *ret_size = size;
    return true;
}

static struct slice trimmed(struct slice text)
{
    const char *c = text.data;
    while (text.size && *c == ' ') {
        c++;
        text.size--;
    }
    while (text.size && c[text.size - 1] == ' ')
        text.size--;
    return slice_make(c, text.size);
}

static bool is_text(struct slice text)
{
    const unsigned char *c = text.data;
    for (size_t i = 0; i < text.size; i++)
        if (c[i] < ' ' || c[i] == 0x7f)
            return false;
    return utf8_is(text);
}

int tus_metadata_read(const char *header, const char *key, char ret_value[TUS_VALUE_MAX + 1])
{
    struct slice rest = trimmed(slice_of(header));
    uint8_t value[TUS_VALUE_MAX] = { 0 };
    size_t size = 0;
    bool found = false;
    while (rest.size) {
        struct slice encoded, pair = trimmed(slice_until(rest, ',', &rest));
        const struct slice name = slice_until(pair, ' ', &encoded);
        if (name.size == 0)
            return STATUS_INVALID;
        if (!slice_is(name, key))
            continue;
        if (found || !decode(trimmed(encoded), value, sizeof value, &size) ||
            !is_text(slice_make(value, size)))
            return STATUS_INVALID;
        found = true;
    }
    memcpy(ret_value, value, size);
    ret_value[size] = '\0';
    return 0;
}

int tus_checksum_read(const char *header, struct tus_checksum *ret_checksum)
{
    static const struct {
        const char *name;
        size_t size;
    } known[] = { { "sha1", 20 }, { "sha256", 32 }, { "md5", 16 } };
    struct tus_checksum checksum = { .size = 0 };
    struct slice encoded;
    const struct slice name = slice_until(slice_of(header), ' ', &encoded);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!slice_is(name, known[i].name))
            continue;
        (void)slice_copy(name, checksum.algorithm, sizeof checksum.algorithm);
        if (!decode(trimmed(encoded), checksum.digest, sizeof checksum.digest, &checksum.size) ||
            checksum.size != known[i].size)
            return STATUS_INVALID;
        *ret_checksum = checksum;
        return 0;
    }
    return STATUS_UNSUPPORTED;
}
