#include "common/pack/self.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZLIB_CONST /* it only reads what it is given */
#include <zlib.h>

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"

enum { SHA256_BYTES = 32, GZIP_WINDOW = 16 + MAX_WBITS, GZIP_MEMORY = 8 };

struct packing {
    const struct pack_row *row;
    int folder;
    struct archive *archive;
    struct archive_entry *entry;
    EVP_MD_CTX *digest;
    int sunk; /* what the sink answered, when it was not 0: it gets no more */
    uint64_t done, total;
    struct pack_stats stats;
    uint8_t *buffer;
    z_stream gzip;     /* of a tar.gz, as squeezed is, where its output comes */
    uint8_t *squeezed; /* NULL: of a zip */
    char *message;
};

/* ---- what libarchive makes ------------------------------------------------------------------- */

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

/* Never fails, see packing_end(). */
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

static int start(struct packing *self)
{
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

static int finish(struct packing *self)
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
static void packing_end(struct packing *self)
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

/* ---- a member -------------------------------------------------------------------------------- */

static int begin_member(struct packing *self, const char *name, const struct stat *info)
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

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int trouble(const struct packing *self, const char *name, int problem)
{
    const int result = problem == ENOENT                       ? STATUS_CONFLICT
                       : problem == EACCES || problem == EPERM ? STATUS_DENIED
                       : problem == ELOOP || problem == EXDEV  ? STATUS_UNSUPPORTED
                                                               : -problem;
    return pack_says(self->message, result, "%s cannot be read: %s", name, strerror(problem));
}

/* size bytes, the next ones of a member. */
static int add_bytes(struct packing *self, size_t size)
{
    const bool taken = archive_write_data(self->archive, self->buffer, size) == (la_ssize_t)size;
    self->done += size;
    if (self->row->moved)
        self->row->moved(self->row->arg, self->done, self->total);
    return made(self, taken ? ARCHIVE_OK : ARCHIVE_FATAL);
}

/* size bytes: fewer or more, and it has changed. */
static int copy(struct packing *self, int file, const char *name, uint64_t size)
{
    uint64_t left = size;
    ssize_t got = 1;
    for (int r = 0; r == 0 && got > 0;) {
        if (self->row->stop && self->row->stop(self->row->arg))
            return -ECANCELED;
        got = read(file, self->buffer, PACK_BUFFER);
        if (got < 0)
            return trouble(self, name, errno);
        if ((uint64_t)got > left)
            break;
        left -= (uint64_t)got;
        r = got ? add_bytes(self, (size_t)got) : 0;
        if (r)
            return r;
    }
    return left == 0 && got == 0
               ? 0
               : pack_says(self->message, STATUS_CONFLICT, "%s changed while it was read", name);
}

static int add_file(struct packing *self, const char *name)
{
    struct stat before;
    struct stat after;
    scoped_fd int file = paths_open_beneath(self->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return trouble(self, name, -file);
    if (fstat(file, &before))
        return -errno;
    if (!S_ISREG(before.st_mode))
        return pack_says(self->message, STATUS_CONFLICT, "%s is no file any more", name);
    int r = begin_member(self, name, &before);
    if (r == 0)
        r = copy(self, file, name, (uint64_t)before.st_size);
    if (r)
        return r;
    if (fstat(file, &after))
        return -errno;
    if (!is_same(&before, &after))
        return pack_says(self->message, STATUS_CONFLICT, "%s changed while it was read", name);
    r = made(self, archive_write_finish_entry(self->archive));
    if (r)
        return r;
    self->stats.files++;
    self->stats.original_bytes += (uint64_t)before.st_size;
    return 0;
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* A file or a folder without entries. */
typedef int visit_fn(struct packing *self, const char *name, const struct stat *info);

static int add(struct packing *self, const char *name, const struct stat *info)
{
    return S_ISDIR(info->st_mode) ? begin_member(self, name, info) : add_file(self, name);
}

static int count(struct packing *self, const char *name, const struct stat *info)
{
    const char *wrong = pack_name_wrong(slice_of(name));
    if (wrong)
        return pack_says(self->message, STATUS_UNSUPPORTED, "%s %s", name, wrong);
    if (S_ISDIR(info->st_mode))
        return 0;
    if (faccessat(self->folder, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW))
        return trouble(self, name, errno);
    self->total += (uint64_t)info->st_size;
    self->stats.files++;
    return 0;
}

static int refuse_kind(const struct packing *self, const FTSENT *entry, const char *name)
{
    const char *what = NULL;
    if (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE)
        what = "a symbolic link";
    else if (entry->fts_info == FTS_DEFAULT)
        what = "a socket, a pipe or a device";
    else if (entry->fts_info == FTS_DC)
        what = "a folder that holds itself";
    if (!what)
        return trouble(self, name, entry->fts_errno);
    return pack_says(self->message, STATUS_UNSUPPORTED, "%s is %s, which no archive gets", name,
                     what);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void walk_end(FTS **walk)
{
    if (*walk)
        (void)fts_close(*walk);
}

/* 0 also at the end, where *ret_entry is NULL. */
static int next_entry(FTS *fts, FTSENT **ret_entry)
{
    errno = 0;
    *ret_entry = fts_read(fts);
    return *ret_entry ? 0 : -errno;
}

struct step {
    FTSENT *entry;
    const FTSENT *last; /* the one before, while it may be a folder without entries */
    const char *name;
};

static int take_step(struct packing *self, const struct step *step, visit_fn *visit)
{
    const FTSENT *entry = step->entry;
    const int kind = entry->fts_info;
    const bool empty = kind == FTS_DP && step->last == entry && entry->fts_level > 0;
    if (kind == FTS_F || empty)
        return visit(self, step->name, entry->fts_statp);
    if (kind == FTS_D || kind == FTS_DP)
        return 0;
    return refuse_kind(self, entry, *step->name ? step->name : "the folder");
}

/* In memory that grows with the largest folder alone. */
static int walk(struct packing *self, visit_fn *visit)
{
    char top[32];
    const int top_size = snprintf(top, sizeof top, "/proc/self/fd/%d/.", self->folder);
    char *const tops[] = { top, NULL };
    __attribute__((cleanup(walk_end))) FTS *fts =
        fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    struct step step = { .last = NULL };
    int r = fts ? next_entry(fts, &step.entry) : -errno;
    while (r == 0 && step.entry) {
        step.name = step.entry->fts_path + top_size;
        step.name += *step.name == '/';
        r = take_step(self, &step, visit);
        step.last = step.entry->fts_info == FTS_D ? step.entry : NULL;
        if (r == 0)
            r = next_entry(fts, &step.entry);
    }
    return r;
}

static int run(struct packing *self)
{
    scoped_in(pack_locale) locale = { 0 };
    self->folder = open(self->row->folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (self->folder < 0)
        return pack_says(self->message, -errno, "%s: %s", self->row->folder, strerror(errno));
    int r = pack_locale_init(&locale);
    if (r == 0)
        r = walk(self, count);
    if (r == 0 && self->stats.files == 0)
        r = pack_says(self->message, STATUS_EMPTY, "there is no file in it");
    if (r)
        return r;
    self->stats.files = 0;
    r = start(self);
    if (r == 0)
        r = walk(self, add);
    return r ? r : finish(self);
}

int pack_folder(const struct pack_row *row, struct pack_stats *ret_stats,
                char ret_message[PACK_MESSAGE])
{
    const int64_t begun = clock_ns();
    struct packing self = { .row = row, .folder = -1, .message = ret_message };
    ret_message[0] = '\0';
    int r = run(&self);
    packing_end(&self);
    if (r)
        return pack_says_result(ret_message, r);
    self.stats.seconds = (double)(clock_ns() - begun) / 1e9;
    *ret_stats = self.stats;
    return 0;
}
