/* Zip as far as our own and common packers write it: stored and deflated members, zip64, read by
 * the directory at its end. Not by libarchive, which cuts names at a NUL, puts other characters for
 * those that can be composed, holds the whole directory in memory and knows a dozen codecs more. */
#include "common/pack/unpacking.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "common/pack/zip.h"
#include "common/status.h"

enum { METHOD_STORED = 0, METHOD_DEFLATED = 8 };

struct unzip {
    struct unpacking *unpacking;
    struct zip_directory directory;
    struct zip_member member;
    uint64_t sum;  /* of the sizes of members in the archive */
    uint64_t made; /* bytes of the member at hand */
    uint32_t crc;
    z_stream stream;
    uint8_t in[PACK_BUFFER], out[PACK_BUFFER];
};

static int malformed(const struct unzip *self, const char *why)
{
    return pack_says(self->unpacking->message, STATUS_MALFORMED, "%s %s", self->member.name, why);
}

static int took(struct unzip *self, const uint8_t *bytes, size_t size)
{
    if (size > self->member.size - self->made)
        return malformed(self, "has more bytes than the archive says");
    self->made += size;
    self->crc = (uint32_t)crc32(self->crc, bytes, (uInt)size);
    return unpacking_add(self->unpacking, bytes, size);
}

/* All that these bytes, the member's next, become. *ret_ended: the stream has. */
static int inflate_some(struct unzip *self, size_t size, bool *ret_ended)
{
    self->stream.next_in = self->in;
    self->stream.avail_in = (uInt)size;
    do {
        self->stream.next_out = self->out;
        self->stream.avail_out = sizeof self->out;
        const int z = inflate(&self->stream, Z_NO_FLUSH);
        if (z == Z_MEM_ERROR)
            return -ENOMEM;
        if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
            return malformed(self, "cannot be decompressed");
        const int r = took(self, self->out, sizeof self->out - self->stream.avail_out);
        if (r)
            return r;
        *ret_ended = z == Z_STREAM_END;
    } while (!*ret_ended && self->stream.avail_out == 0);
    return *ret_ended && self->stream.avail_in ? malformed(self, "ends before the archive says so")
                                               : 0;
}

/* size bytes of the member, at most a buffer. */
static int read_some(struct unzip *self, uint64_t offset, size_t size, bool *ended)
{
    const bool deflated = self->member.method == METHOD_DEFLATED;
    const int64_t got = unpacking_read(self->unpacking, offset, self->in, size);
    if (got < 0)
        return (int)got;
    if ((size_t)got != size)
        return malformed(self, "is cut off");
    if (deflated && *ended)
        return malformed(self, "ends before the archive says so");
    return deflated ? inflate_some(self, size, ended) : took(self, self->in, size);
}

static int read_bytes(struct unzip *self, uint64_t offset)
{
    bool ended = self->member.method != METHOD_DEFLATED;
    for (uint64_t left = self->member.packed; left;) {
        const size_t size = left < sizeof self->in ? (size_t)left : sizeof self->in;
        int r = read_some(self, offset, size, &ended);
        if (r == 0)
            r = unpacking_moved(self->unpacking, self->sum - left + size);
        if (r)
            return r;
        offset += size;
        left -= size;
    }
    if (!ended || self->made != self->member.size)
        return malformed(self, "has fewer bytes than the archive says");
    return self->crc == self->member.crc ? 0 : malformed(self, "has a wrong checksum");
}

static int copy(struct unzip *self, uint64_t offset)
{
    self->made = 0;
    self->crc = 0;
    if (inflateReset(&self->stream) != Z_OK)
        return -EINVAL;
    return read_bytes(self, offset);
}

static int refuse_method(const struct unzip *self)
{
    const struct zip_member *member = &self->member;
    if (member->encrypted)
        return pack_says(self->unpacking->message, STATUS_UNSUPPORTED, "%s is encrypted",
                         member->name);
    if (member->method != METHOD_STORED && member->method != METHOD_DEFLATED)
        return pack_says(self->unpacking->message, STATUS_UNSUPPORTED,
                         "%s is compressed by method %u; only deflate is known here", member->name,
                         member->method);
    return 0;
}

static int refuse_kind(const struct unzip *self)
{
    const struct zip_member *member = &self->member;
    const unsigned kind = member->mode & S_IFMT;
    if (kind == 0 || kind == S_IFREG || kind == S_IFDIR)
        return refuse_method(self);
    return pack_says(self->unpacking->message, STATUS_DENIED, "%s is %s", member->name,
                     kind == S_IFLNK ? "a link" : "neither a file nor a folder");
}

static int take_member(struct unzip *self)
{
    const struct zip_member *member = &self->member;
    const bool folder = member->folder || S_ISDIR(member->mode);
    uint64_t offset = 0;
    int r = refuse_kind(self);
    if (r == 0)
        r = zip_member_begin(&self->directory, member, &offset);
    if (r)
        return r;
    /* Members that lie upon each other make much of little. */
    if (member->packed > self->unpacking->archive_bytes - self->sum)
        return malformed(self, "lies where another member does");
    self->sum += member->packed;
    r = unpacking_begin(self->unpacking, slice_make(member->name, member->name_size),
                        folder ? UNPACK_FOLDER : UNPACK_FILE, member->mode);
    if (r == 0 && !folder)
        r = copy(self, offset);
    return r ? r : unpacking_end(self->unpacking, member->modified_s);
}

static int take_members(struct unzip *self)
{
    int r = zip_directory_open(self->unpacking, &self->directory);
    for (uint64_t i = 0; r == 0 && i < self->directory.members; i++) {
        r = zip_directory_next(&self->directory, &self->member);
        if (r == 0)
            r = take_member(self);
    }
    return r ? r : zip_directory_close(&self->directory);
}

int unpack_zip(struct unpacking *unpacking)
{
    struct unzip *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->unpacking = unpacking;
    int r = inflateInit2(&self->stream, -MAX_WBITS) == Z_OK ? take_members(self) : -ENOMEM;
    (void)inflateEnd(&self->stream);
    free(self);
    return r;
}
