#include "common/pack/packing.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHA256_BYTES = 32, GZIP_WINDOW = 16 + MAX_WBITS, GZIP_MEMORY = 8, HEAP_KEPT = 1 << 20 };

/* Bytes of the archive. What the sink refused once it is not given again: sunk keeps it. */
static void send(struct packing *self, const void *bytes, size_t size)
{
    if (self->sunk || size == 0)
        return;
    self->sunk = EVP_DigestUpdate(self->digest, bytes, size)
                     ? self->row->sink(self->row->arg, bytes, size)
                     : -ENOMEM;
    self->stats.packed_bytes += size;
}

/* Bytes of a tar, or its end. gzip is made here, so that a tar that is given up costs none. */
static void send_gzip(struct packing *self, const void *bytes, size_t size, int flush)
{
    z_stream *stream = &self->gzip;
    stream->next_in = bytes;
    stream->avail_in = (uInt)size;
    do {
        stream->next_out = self->squeezed;
        stream->avail_out = PACK_BUFFER;
        (void)deflate(stream, flush); /* with room for its output it cannot fail */
        send(self, self->squeezed, PACK_BUFFER - stream->avail_out);
    } while (stream->avail_out == 0 && !self->sunk);
}

/* Never fails, see packing_clear(). */
static la_ssize_t on_bytes(struct archive *archive, void *arg, const void *bytes, size_t size)
{
    struct packing *self = arg;
    (void)archive;
    if (self->squeezed && !self->sunk)
        send_gzip(self, bytes, size, Z_NO_FLUSH);
    else
        send(self, bytes, size);
    return (la_ssize_t)size;
}

/* What a call of libarchive's comes to. */
static int made(const struct packing *self, int r)
{
    if (self->sunk)
        return self->sunk;
    if (r == ARCHIVE_OK)
        return 0;
    const int problem = archive_errno(self->archive);
    const char *why = archive_error_string(self->archive);
    return pack_says(self->message, problem == ENOMEM ? -ENOMEM : -EIO,
                     "the archive cannot be made: %s", why ? why : "no reason is known");
}

static int set_zip(struct archive *archive, enum pack_level level)
{
    static const char *const levels[] = {
        [PACK_FAST] = "1", [PACK_DEFAULT] = "6", [PACK_MAXIMUM] = "9"
    };
    if (archive_write_set_format_zip(archive))
        return ARCHIVE_FATAL;
    return level == PACK_STORE ? archive_write_zip_set_compression_store(archive)
                               : archive_write_set_format_option(
                                     archive, "zip", "compression-level", levels[level]);
}

/* GNU's kind of tar, as it keeps a name's bytes as they are; gzip's head without a time. */
static int set_tar_gz(struct packing *self)
{
    static const int levels[] = {
        [PACK_STORE] = 0, [PACK_FAST] = 1, [PACK_DEFAULT] = 6, [PACK_MAXIMUM] = 9
    };
    self->squeezed = malloc(PACK_BUFFER);
    if (!self->squeezed || deflateInit2(&self->gzip, levels[self->row->level], Z_DEFLATED,
                                        GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    return archive_write_set_format_gnutar(self->archive);
}

/* libarchive takes and frees deflate's quarter of a MiB for each member; glibc gives it back to the
 * kernel and asks for it again, which is a quarter of the time that many small files take, unless
 * it once had a block like this back. */
static void keep_heap(void)
{
    char *block = malloc(HEAP_KEPT);
    if (block)
        *(volatile char *)block = 0; /* else the compiler leaves out both */
    free(block);
}

int packing_start(struct packing *self)
{
    keep_heap();
    self->archive = archive_write_new();
    self->entry = archive_entry_new();
    self->digest = EVP_MD_CTX_new();
    self->buffer = malloc(PACK_BUFFER);
    if (!self->archive || !self->entry || !self->digest || !self->buffer ||
        !EVP_DigestInit_ex(self->digest, EVP_sha256(), NULL))
        return -ENOMEM;
    int r =
        self->row->format == PACK_ZIP ? set_zip(self->archive, self->row->level) : set_tar_gz(self);
    if (r == ARCHIVE_OK)
        r = archive_write_set_bytes_per_block(self->archive, PACK_BUFFER);
    if (r == ARCHIVE_OK) /* else its end is filled up to a block */
        r = archive_write_set_bytes_in_last_block(self->archive, 1);
    if (r == ARCHIVE_OK)
        r = archive_write_open2(self->archive, self, NULL, on_bytes, NULL, NULL);
    return made(self, r);
}

int packing_begin(struct packing *self, const char *name, const struct stat *info)
{
    const bool folder = S_ISDIR(info->st_mode);
    archive_entry_clear(self->entry);
    archive_entry_set_pathname(self->entry, name);
    archive_entry_set_filetype(self->entry, folder ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(self->entry, folder || info->st_mode & S_IXUSR ? 0755 : 0644);
    archive_entry_set_size(self->entry, folder ? 0 : info->st_size);
    archive_entry_set_mtime(self->entry, info->st_mtim.tv_sec, 0);
    return made(self, archive_write_header(self->archive, self->entry));
}

int packing_add(struct packing *self, size_t size)
{
    const bool taken = archive_write_data(self->archive, self->buffer, size) == (la_ssize_t)size;
    self->done += size;
    if (self->row->moved)
        self->row->moved(self->row->arg, self->done, self->total);
    return made(self, taken ? ARCHIVE_OK : ARCHIVE_FATAL);
}

int packing_end(struct packing *self)
{
    return made(self, archive_write_finish_entry(self->archive));
}

int packing_finish(struct packing *self)
{
    unsigned char bytes[SHA256_BYTES];
    int r = made(self, archive_write_close(self->archive));
    if (r == 0 && self->squeezed)
        send_gzip(self, NULL, 0, Z_FINISH);
    if (r || self->sunk)
        return r ? r : self->sunk;
    if (!EVP_DigestFinal_ex(self->digest, bytes, NULL))
        return -ENOMEM;
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(self->stats.sha256 + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* Given up, the archive ends all the same, into nothing: a tar's member with as many zeros as it
 * lacks. What libarchive is not let end it does not free. */
void packing_clear(struct packing *self)
{
    self->sunk = self->sunk ? self->sunk : -ECANCELED;
    if (self->archive)
        (void)archive_write_free(self->archive);
    if (self->squeezed)
        (void)deflateEnd(&self->gzip);
    archive_entry_free(self->entry);
    EVP_MD_CTX_free(self->digest);
    free(self->buffer);
    free(self->squeezed);
    if (self->folder >= 0)
        (void)close(self->folder);
}
