/* gzip is undone here and not by libarchive, which looks neither at its checksums nor at what
 * follows a tar's end. */
#include "common/pack/unpacking.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "common/scoped.h"
#include "common/status.h"

enum {
    GZIP_WINDOW = 16 + MAX_WBITS,
    AFTER_END_MAX = 1 << 20 /* what a tar is filled up with */
};

struct gunzip {
    struct unpacking *unpacking;
    uint64_t offset; /* in the archive, of what is read next */
    z_stream stream;
    bool ready;  /* stream is */
    bool within; /* a member of gzip's, not between two */
    int result;  /* why there are no more bytes, when it is not 0 */
    uint8_t in[PACK_BUFFER], out[PACK_BUFFER];
};

/* ---- bytes of the tar ------------------------------------------------------------------------ */

static int malformed(const struct gunzip *self, const char *why)
{
    return pack_says(self->unpacking->message, STATUS_MALFORMED, "%s", why);
}

static int fill(struct gunzip *self)
{
    const int64_t got = unpacking_read(self->unpacking, self->offset, self->in, sizeof self->in);
    if (got < 0)
        return (int)got;
    self->offset += (uint64_t)got;
    self->stream.next_in = self->in;
    self->stream.avail_in = (uInt)got;
    return unpacking_moved(self->unpacking, self->offset);
}

/* Between two members there may be zeros, which tapes are filled up with. */
static int skip_zeros(struct gunzip *self)
{
    while (self->stream.avail_in && *self->stream.next_in == 0) {
        self->stream.next_in++;
        self->stream.avail_in--;
    }
    self->within = self->stream.avail_in > 0;
    if (self->within && inflateReset(&self->stream) != Z_OK)
        return -EINVAL;
    return 0;
}

static int advance(struct gunzip *self)
{
    const int r = inflate(&self->stream, Z_NO_FLUSH);
    if (r == Z_STREAM_END)
        self->within = false;
    else if (r == Z_MEM_ERROR)
        return -ENOMEM;
    else if (r != Z_OK && r != Z_BUF_ERROR)
        return malformed(self, self->stream.msg ? self->stream.msg : "this is no gzip");
    return 0;
}

/* Goes on with bytes that are there, or are read now. *ret_ended: there are none. */
static int go_on(struct gunzip *self, bool *ret_ended)
{
    int r = self->stream.avail_in ? 0 : fill(self);
    if (r)
        return r;
    *ret_ended = self->stream.avail_in == 0;
    if (*ret_ended)
        return self->within ? malformed(self, "the archive is cut off") : 0;
    r = self->within ? 0 : skip_zeros(self);
    return r == 0 && self->within ? advance(self) : r;
}

/* More bytes of the tar in out, *ret_size 0 at its end. */
static int produce(struct gunzip *self, size_t *ret_size)
{
    bool ended = false;
    self->stream.next_out = self->out;
    self->stream.avail_out = sizeof self->out;
    while (!ended && self->stream.avail_out == sizeof self->out) {
        int r = go_on(self, &ended);
        if (r)
            return r;
    }
    *ret_size = sizeof self->out - self->stream.avail_out;
    return 0;
}

static la_ssize_t on_wanted(struct archive *archive, void *arg, const void **ret_bytes)
{
    struct gunzip *self = arg;
    size_t size = 0;
    (void)archive;
    self->result = produce(self, &size);
    *ret_bytes = self->out;
    return self->result ? -1 : (la_ssize_t)size;
}

/* ---- members --------------------------------------------------------------------------------- */

static int failed(const struct gunzip *self, struct archive *archive)
{
    if (self->result)
        return self->result;
    const char *why = archive_error_string(archive);
    return archive_errno(archive) == ENOMEM ? -ENOMEM
                                            : malformed(self, why ? why : "this is no tar");
}

/* What a sparse file ends with is a hole that libarchive does not tell of. */
static int fill_up(const struct gunzip *self, uint8_t *buffer, uint64_t left)
{
    memset(buffer, 0, PACK_BUFFER);
    for (int r = 0; left > 0;) {
        const size_t size = left < PACK_BUFFER ? (size_t)left : PACK_BUFFER;
        r = unpacking_add(self->unpacking, buffer, size);
        if (r == 0)
            r = unpacking_moved(self->unpacking, self->offset);
        if (r)
            return r;
        left -= size;
    }
    return 0;
}

static int copy(const struct gunzip *self, struct archive *archive, uint8_t *buffer, uint64_t size)
{
    uint64_t made = 0;
    la_ssize_t got = 1;
    for (int r = 0; got > 0; made += (uint64_t)got) {
        got = archive_read_data(archive, buffer, PACK_BUFFER);
        if (got < 0)
            return failed(self, archive);
        r = unpacking_add(self->unpacking, buffer, (size_t)got);
        if (r)
            return r;
    }
    return made < size ? fill_up(self, buffer, size - made) : 0;
}

static const char *kind_wrong(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) == AE_IFLNK)
        return "is a link";
    if (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR)
        return "is neither a file nor a folder";
    return NULL;
}

static int take_member(struct gunzip *self, struct archive *archive, struct archive_entry *entry,
                       uint8_t *buffer)
{
    const char *name = archive_entry_pathname(entry);
    const char *wrong = kind_wrong(entry);
    const bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    if (!name)
        return malformed(self, "the name of a member cannot be read");
    if (wrong)
        return pack_says(self->unpacking->message, STATUS_DENIED, "%s %s", name, wrong);
    int r = unpacking_begin(self->unpacking, slice_of(name), folder ? UNPACK_FOLDER : UNPACK_FILE,
                            archive_entry_perm(entry));
    if (r == 0 && !folder)
        r = copy(self, archive, buffer, (uint64_t)archive_entry_size(entry));
    return r ? r : unpacking_end(self->unpacking, archive_entry_mtime(entry));
}

/* The rest of the archive is read too, for its checksum's sake. */
static int drain(struct gunzip *self)
{
    size_t size = 1;
    for (size_t sum = 0; size; sum += size) {
        int r = produce(self, &size);
        if (r)
            return r;
        if (sum > AFTER_END_MAX)
            return malformed(self, "something follows the end of the tar");
    }
    return 0;
}

static int take_members(struct gunzip *self, struct archive *archive, uint8_t *buffer)
{
    struct archive_entry *entry = NULL;
    for (;;) {
        int r = archive_read_next_header(archive, &entry);
        if (r == ARCHIVE_EOF)
            return self->result ? self->result : drain(self);
        /* What libarchive warns of it has repaired by guessing. */
        if (r != ARCHIVE_OK)
            return failed(self, archive);
        r = take_member(self, archive, entry, buffer);
        if (r)
            return r;
    }
}

static int read_tar(struct gunzip *self)
{
    struct archive *archive = archive_read_new();
    uint8_t *buffer = malloc(PACK_BUFFER);
    int r = archive && buffer ? 0 : -ENOMEM;
    if (r == 0 && (archive_read_support_format_tar(archive) ||
                   archive_read_open2(archive, self, NULL, on_wanted, NULL, NULL)))
        r = failed(self, archive);
    if (r == 0)
        r = take_members(self, archive, buffer);
    free(buffer);
    (void)archive_read_free(archive);
    return r;
}

int unpack_tar_gz(struct unpacking *unpacking)
{
    scoped_in(pack_locale) locale = { 0 };
    int r = pack_locale_init(&locale);
    struct gunzip *self = r ? NULL : calloc(1, sizeof *self);
    if (!self)
        return r ? r : -ENOMEM;
    self->unpacking = unpacking;
    self->within = true;
    r = inflateInit2(&self->stream, GZIP_WINDOW) == Z_OK ? read_tar(self) : -ENOMEM;
    (void)inflateEnd(&self->stream);
    free(self);
    return r;
}
