#include "common/pack/zip.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/status.h"

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    RECORD_SIZE = 46,
    HEAD_SIZE = 30,
    COMMENT_MAX = 65535,
    FLAG_ENCRYPTED = 1 | 1 << 6 | 1 << 13,
    EXTRA_ZIP64 = 0x0001,
    EXTRA_TIME = 0x5455,
    SYSTEM_UNIX = 3,
    SYSTEM_MACOS = 19
};
#define IN_ZIP64 UINT32_C(0xffffffff)
#define IN_ZIP64_SHORT 0xffffU

static uint32_t u16(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t u32(const uint8_t *at)
{
    return u16(at) | u16(at + 2) << 16;
}

static uint64_t u64(const uint8_t *at)
{
    return u32(at) | (uint64_t)u32(at + 4) << 32;
}

static int malformed(struct unpacking *unpacking, const char *why)
{
    return pack_says(unpacking->message, STATUS_MALFORMED, "%s", why);
}

/* Exactly so many bytes. */
static int read_all(struct unpacking *unpacking, uint64_t offset, void *ret_bytes, size_t size)
{
    const int64_t got = unpacking_read(unpacking, offset, ret_bytes, size);
    if (got < 0)
        return (int)got;
    return (size_t)got == size ? 0 : malformed(unpacking, "the archive is cut off");
}

/* ---- its end --------------------------------------------------------------------------------- */

/* Where the end's record lies: the comment behind it reaches to the last byte. */
static int find_end(struct unpacking *unpacking, uint8_t ret_end[END_SIZE], uint64_t *ret_at)
{
    uint8_t tail[END_SIZE + COMMENT_MAX];
    const uint64_t bytes = unpacking->archive_bytes;
    const size_t size = bytes < sizeof tail ? (size_t)bytes : sizeof tail;
    int r = read_all(unpacking, bytes - size, tail, size);
    if (r)
        return r;
    for (size_t left = END_SIZE; left <= size; left++) {
        const uint8_t *at = tail + size - left;
        if (memcmp(at, "PK\5\6", 4) != 0 || END_SIZE + u16(at + 20) != left)
            continue;
        memcpy(ret_end, at, END_SIZE);
        *ret_at = bytes - left;
        return 0;
    }
    return malformed(unpacking, "the archive is cut off: it has no directory at its end");
}

/* A large archive says more in a record before; none leaves all as it is. */
static int read_end64(struct zip_directory *self, uint64_t *end_at, uint64_t *size)
{
    uint8_t locator[LOCATOR_SIZE] = { 0 };
    uint8_t end[END64_SIZE] = { 0 };
    if (*end_at < LOCATOR_SIZE)
        return 0;
    int r = read_all(self->unpacking, *end_at - LOCATOR_SIZE, locator, sizeof locator);
    if (r || memcmp(locator, "PK\6\7", 4) != 0)
        return r;
    const uint64_t at = u64(locator + 8);
    if (at > *end_at - LOCATOR_SIZE)
        return malformed(self->unpacking, "its directory lies outside of the archive");
    r = read_all(self->unpacking, at, end, sizeof end);
    if (r)
        return r;
    if (memcmp(end, "PK\6\6", 4) != 0 || u32(end + 16) != 0 || u64(end + 24) != u64(end + 32))
        return malformed(self->unpacking, "the record of its end cannot be read");
    *end_at = at;
    self->members = u64(end + 32);
    *size = u64(end + 40);
    self->begin = u64(end + 48);
    return 0;
}

int zip_directory_open(struct unpacking *unpacking, struct zip_directory *ret_directory)
{
    struct zip_directory self = { .unpacking = unpacking };
    uint8_t end[END_SIZE] = { 0 };
    uint64_t end_at = 0;
    int r = find_end(unpacking, end, &end_at);
    if (r)
        return r;
    uint64_t size = u32(end + 12);
    self.members = u16(end + 10);
    self.begin = u32(end + 16);
    if (u16(end + 4) != 0 && u16(end + 4) != IN_ZIP64_SHORT)
        return pack_says(unpacking->message, STATUS_UNSUPPORTED,
                         "it is one part of an archive of several");
    r = read_end64(&self, &end_at, &size);
    if (r)
        return r;
    if (self.begin > end_at || size != end_at - self.begin)
        return malformed(unpacking, "its directory lies elsewhere than its end says");
    self.at = self.begin;
    self.end = end_at;
    *ret_directory = self;
    return 0;
}

/* ---- its directory --------------------------------------------------------------------------- */

/* A local time: where it was made another zone may hold, which a zip does not say. */
static int64_t dos_time(uint32_t when, uint32_t day)
{
    struct tm parts = { .tm_sec = (int)(when & 31) * 2,
                        .tm_min = (int)(when >> 5 & 63),
                        .tm_hour = (int)(when >> 11),
                        .tm_mday = (int)(day & 31),
                        .tm_mon = (int)(day >> 5 & 15) - 1,
                        .tm_year = (int)(day >> 9) + 80,
                        .tm_isdst = -1 };
    return mktime(&parts);
}

struct field {
    unsigned id;
    const uint8_t *at;
    size_t size;
};

/* The field at *at; false behind the last, and at one that does not end. */
static bool next_field(const uint8_t **at, const uint8_t *end, struct field *ret_field)
{
    if (end - *at < 4)
        return false;
    const size_t size = u16(*at + 2);
    if ((size_t)(end - *at - 4) < size)
        return false;
    *ret_field = (struct field){ u16(*at), *at + 4, size };
    *at += 4 + size;
    return true;
}

/* The large one of a size or a place that has none of its own. */
static bool take_large(struct field *field, uint64_t *number)
{
    if (*number != IN_ZIP64)
        return true;
    if (field->size < 8)
        return false;
    *number = u64(field->at);
    field->at += 8;
    field->size -= 8;
    return true;
}

static bool read_extra(const uint8_t *extra, size_t size, struct zip_member *member)
{
    struct field field;
    const uint8_t *at = extra;
    while (next_field(&at, extra + size, &field)) {
        if (field.id == EXTRA_ZIP64 &&
            !(take_large(&field, &member->size) && take_large(&field, &member->packed) &&
              take_large(&field, &member->head)))
            return false;
        if (field.id == EXTRA_TIME && field.size >= 5 && field.at[0] & 1)
            member->modified_s = (int32_t)u32(field.at + 1);
    }
    return true;
}

static void read_record(const uint8_t *record, struct zip_member *ret_member)
{
    const unsigned system = record[5];
    ret_member->encrypted = u16(record + 8) & FLAG_ENCRYPTED;
    ret_member->method = u16(record + 10);
    ret_member->modified_s = dos_time(u16(record + 12), u16(record + 14));
    ret_member->crc = u32(record + 16);
    ret_member->packed = u32(record + 20);
    ret_member->size = u32(record + 24);
    ret_member->mode = system == SYSTEM_UNIX || system == SYSTEM_MACOS ? u16(record + 40) : 0;
    ret_member->head = u32(record + 42);
}

int zip_directory_next(struct zip_directory *self, struct zip_member *ret_member)
{
    uint8_t record[RECORD_SIZE] = { 0 };
    uint8_t extra[COMMENT_MAX];
    struct unpacking *unpacking = self->unpacking;
    if (self->end - self->at < RECORD_SIZE)
        return malformed(unpacking, "its directory has fewer members than its end says");
    int r = read_all(unpacking, self->at, record, sizeof record);
    if (r)
        return r;
    const size_t name_size = u16(record + 28);
    const size_t extra_size = u16(record + 30);
    const uint64_t size = RECORD_SIZE + name_size + extra_size + u16(record + 32);
    if (memcmp(record, "PK\1\2", 4) != 0 || size > self->end - self->at)
        return malformed(unpacking, "its directory cannot be read");
    if (name_size == 0 || name_size > PACK_NAME_MAX)
        return malformed(unpacking,
                         name_size ? "a member has too long a name" : "a member has no name");
    r = read_all(unpacking, self->at + RECORD_SIZE, ret_member->name, name_size);
    if (r == 0)
        r = read_all(unpacking, self->at + RECORD_SIZE + name_size, extra, extra_size);
    if (r)
        return r;
    ret_member->name[name_size] = '\0';
    ret_member->name_size = name_size;
    ret_member->folder = ret_member->name[name_size - 1] == '/';
    read_record(record, ret_member);
    if (!read_extra(extra, extra_size, ret_member))
        return malformed(unpacking, "its directory cannot be read");
    self->at += size;
    return 0;
}

int zip_directory_close(const struct zip_directory *self)
{
    return self->at == self->end
               ? 0
               : malformed(self->unpacking, "its directory has more members than its end says");
}

/* ---- a member's own head --------------------------------------------------------------------- */

int zip_member_begin(const struct zip_directory *self, const struct zip_member *member,
                     uint64_t *ret_offset)
{
    uint8_t head[HEAD_SIZE] = { 0 };
    char name[PACK_NAME_MAX];
    struct unpacking *unpacking = self->unpacking;
    if (self->begin < HEAD_SIZE || member->head > self->begin - HEAD_SIZE)
        return pack_says(unpacking->message, STATUS_MALFORMED, "%s lies outside of the archive",
                         member->name);
    int r = read_all(unpacking, member->head, head, sizeof head);
    if (r)
        return r;
    const size_t name_size = u16(head + 26);
    const uint64_t offset = member->head + HEAD_SIZE + name_size + u16(head + 28);
    if (memcmp(head, "PK\3\4", 4) != 0 || name_size != member->name_size ||
        u16(head + 8) != member->method)
        return pack_says(unpacking->message, STATUS_MALFORMED, "%s is not where the directory says",
                         member->name);
    r = read_all(unpacking, member->head + HEAD_SIZE, name, name_size);
    if (r)
        return r;
    if (memcmp(name, member->name, name_size) != 0)
        return pack_says(unpacking->message, STATUS_MALFORMED,
                         "%s has another name in its place than in the directory", member->name);
    if (offset > self->begin || member->packed > self->begin - offset)
        return pack_says(unpacking->message, STATUS_MALFORMED, "%s lies outside of the archive",
                         member->name);
    *ret_offset = offset;
    return 0;
}
