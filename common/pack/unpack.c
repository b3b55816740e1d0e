#include "common/pack/unpacking.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/storage/beneath.h"
#include "common/storage/tree.h"

#define OWN_PREFIX ".unpack."
enum { OWN_NAME = sizeof OWN_PREFIX + BENEATH_UUID8 };

/* ---- moving it to its place ------------------------------------------------------------------ */

/* Names that were moved, each with its NUL, in case one cannot be. */
struct moves {
    int from, to;
    FILE *names;
    char *text;
    size_t size;
};

static int rename_new(int from, int to, const char *name)
{
    if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    if (faccessat(to, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST; /* a file system without NOREPLACE */
    return renameat(from, name, to, name) ? -errno : 0;
}

static void move_back(struct moves *self)
{
    for (size_t at = 0; at < self->size; at += strlen(self->text + at) + 1)
        (void)rename_new(self->to, self->from, self->text + at);
}

static int move_each(struct moves *self, DIR *dir, const struct unpacking *unpacking)
{
    const struct dirent *entry = NULL;
    while ((errno = 0, entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (fwrite(name, strlen(name) + 1, 1, self->names) != 1)
            return -ENOMEM;
        int r = rename_new(self->from, self->to, name);
        if (r == -EEXIST || r == -ENOTEMPTY)
            return pack_says(unpacking->message, STATUS_CONFLICT, "%s is there already", name);
        if (r)
            return r;
        if (fflush(self->names)) /* now, not before: it is among those to be moved back */
            return -ENOMEM;
    }
    return -errno;
}

static void dir_end(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static int move_out(const struct unpacking *self, int to)
{
    int listed = openat(self->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    __attribute__((cleanup(dir_end))) DIR *dir = listed >= 0 ? fdopendir(listed) : NULL;
    struct moves moves = { .from = self->folder, .to = to };
    if (!dir)
        return -errno;
    moves.names = open_memstream(&moves.text, &moves.size);
    if (!moves.names)
        return -ENOMEM;
    int r = move_each(&moves, dir, self);
    if (r)
        move_back(&moves);
    (void)fclose(moves.names);
    free(moves.text);
    return r;
}

/* ---- unpacking ------------------------------------------------------------------------------- */

static int unpack_by_content(struct unpacking *self)
{
    unsigned char magic[2] = { 0 };
    const int64_t got = unpacking_read(self, 0, magic, sizeof magic);
    if (got < 0)
        return (int)got;
    if (memcmp(magic, "PK", sizeof magic) == 0)
        return unpack_zip(self);
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return unpack_tar_gz(self);
    return pack_says(self->message, STATUS_MALFORMED, "this is neither a zip nor a tar.gz");
}

static int open_archive(struct unpacking *self)
{
    struct stat info;
    const struct unpack_row *row = self->row;
    assert(row->ratio_max > 0);
    self->archive = open(row->archive, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (self->archive < 0 || fstat(self->archive, &info))
        return -errno;
    if (!S_ISREG(info.st_mode))
        return pack_says(self->message, STATUS_MALFORMED, "this is no file");
    self->archive_bytes = (uint64_t)info.st_size;
    self->stats.packed_bytes = self->archive_bytes;
    self->bytes_max = row->bytes_max;
    if (self->archive_bytes < row->bytes_max / row->ratio_max)
        self->bytes_max = self->archive_bytes * row->ratio_max;
    return 0;
}

/* Into a folder of its own, which goes in any case. */
static int unpack_in(struct unpacking *self, int top)
{
    char own[OWN_NAME] = OWN_PREFIX;
    int r = beneath_uuid8(own + sizeof OWN_PREFIX - 1);
    if (r == 0 && mkdirat(top, own, 0700))
        r = -errno;
    if (r)
        return r;
    self->folder = paths_open_beneath(top, own, O_PATH | O_DIRECTORY);
    r = self->folder < 0 ? self->folder : unpack_by_content(self);
    if (r == 0)
        r = move_out(self, top);
    const int gone = tree_remove(top, own);
    return r ? r : gone;
}

int unpack(const struct unpack_row *row, struct pack_stats *ret_stats,
           char ret_message[PACK_MESSAGE])
{
    const int64_t begun = clock_ns();
    struct unpacking self = {
        .row = row, .archive = -1, .folder = -1, .file = -1, .parent = -1, .message = ret_message
    };
    ret_message[0] = '\0';
    scoped_fd int top = open(row->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = top < 0 ? -errno : open_archive(&self);
    if (r == 0)
        r = unpack_in(&self, top);
    unpacking_clear(&self);
    if (r)
        return pack_says_result(ret_message, r);
    self.stats.seconds = (double)(clock_ns() - begun) / 1e9;
    *ret_stats = self.stats;
    return 0;
}
