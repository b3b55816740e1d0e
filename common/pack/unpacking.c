#include "common/pack/unpacking.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"

static int denied(const struct unpacking *self, struct slice name, const char *why)
{
    return pack_says(self->message, STATUS_DENIED, "%.*s %s", SLICE_ARG(name), why);
}

static int trouble(const struct unpacking *self, int problem)
{
    const int result = problem == EEXIST || problem == ENOTDIR ? STATUS_CONFLICT
                       : problem == ELOOP || problem == EXDEV  ? STATUS_DENIED
                                                               : -problem;
    return result == STATUS_CONFLICT
               ? pack_says(self->message, result, "%s is there twice, or is a file and a folder",
                           self->name)
               : pack_says(self->message, result, "%s cannot be made: %s", self->name,
                           strerror(problem));
}

/* self->name of name. What is not refused here leads nowhere else: the kernel looks it up beneath
 * the folder all the same. */
static int take_name(struct unpacking *self, struct slice name)
{
    const char *wrong =
        memchr(name.data, '\0', name.size) ? "has a NUL in its name" : pack_name_wrong(name);
    size_t size = 0;
    if (wrong)
        return pack_says(self->message, STATUS_MALFORMED, "%.*s %s",
                         (int)(name.size < 256 ? name.size : 256), (const char *)name.data, wrong);
    if (name.size && *(const char *)name.data == '/')
        return denied(self, name, "is an absolute name");
    for (struct slice rest = name; rest.data;) {
        const struct slice part = slice_until(rest, '/', &rest);
        if (slice_is(part, ".."))
            return denied(self, name, "would leave the folder");
        if (part.size == 0 || slice_is(part, "."))
            continue;
        if (size)
            self->name[size++] = '/';
        memcpy(self->name + size, part.data, part.size);
        size += part.size;
    }
    self->name[size] = '\0';
    return 0;
}

/* One more file or folder. */
static int charge(struct unpacking *self)
{
    if (self->entries == self->row->files_max)
        return pack_says(self->message, STATUS_TOO_LARGE,
                         "more than %" PRIu64 " files and folders are in it (unpack.files_max)",
                         self->row->files_max);
    self->entries++;
    return 0;
}

/* The part of a folder that is open, made when it is missing, takes its place. */
static int descend(struct unpacking *self, int *folder, const char *part)
{
    int next = paths_open_beneath(*folder, part, O_PATH | O_DIRECTORY);
    if (next == -ENOENT) {
        int r = charge(self);
        if (r == 0 && mkdirat(*folder, part, 0755))
            r = trouble(self, errno);
        if (r)
            return r;
        next = paths_open_beneath(*folder, part, O_PATH | O_DIRECTORY);
    }
    if (next < 0)
        return trouble(self, -next);
    (void)close(*folder);
    *folder = next;
    return 0;
}

static int make_folders(struct unpacking *self, const char *name, int *ret_folder)
{
    int folder = fcntl(self->folder, F_DUPFD_CLOEXEC, 0);
    int r = folder < 0 ? -errno : 0;
    for (struct slice rest = slice_of(name); r == 0 && rest.data;) {
        char part[NAME_MAX + 1];
        const struct slice one = slice_until(rest, '/', &rest);
        if (slice_copy(one, part, sizeof part) && one.size)
            r = descend(self, &folder, part);
    }
    if (r && folder >= 0)
        (void)close(folder);
    if (r == 0)
        *ret_folder = folder;
    return r;
}

static void drop_parent(struct unpacking *self)
{
    if (self->parent >= 0)
        (void)close(self->parent);
    self->parent = -1;
}

/* Opens the folder of that name, with those it lies in. */
static int enter(struct unpacking *self, struct slice name)
{
    if (self->parent >= 0 && slice_is(name, self->parent_name))
        return 0;
    drop_parent(self);
    if (!slice_copy(name, self->parent_name, sizeof self->parent_name))
        return -ENAMETOOLONG;
    self->parent =
        paths_open_beneath(self->folder, name.size ? self->parent_name : ".", O_PATH | O_DIRECTORY);
    if (self->parent >= 0)
        return 0;
    if (self->parent != -ENOENT)
        return trouble(self, -self->parent);
    return make_folders(self, self->parent_name, &self->parent);
}

static int make_file(struct unpacking *self, unsigned mode)
{
    const char *slash = strrchr(self->name, '/');
    const char *base = slash ? slash + 1 : self->name;
    if (!*base)
        return pack_says(self->message, STATUS_MALFORMED, "a file in it has no name");
    int r = enter(self, slice_make(self->name, slash ? (size_t)(slash - self->name) : 0));
    if (r == 0)
        r = charge(self);
    if (r)
        return r;
    self->file = openat(self->parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        (mode & S_IXUSR) ? 0755 : 0644);
    return self->file < 0 ? trouble(self, errno) : 0;
}

int unpacking_begin(struct unpacking *self, struct slice name, enum unpack_kind kind, unsigned mode)
{
    int r = take_name(self, name);
    if (r)
        return r;
    if (kind == UNPACK_FILE)
        return make_file(self, mode);
    const uint64_t before = self->entries;
    r = enter(self, slice_of(self->name));
    return r == 0 && self->entries == before ? charge(self) : r; /* again and again is not free */
}

static int too_many(const struct unpacking *self)
{
    if (self->bytes_max == self->row->bytes_max)
        return pack_says(self->message, STATUS_TOO_LARGE,
                         "more than %" PRIu64 " bytes come out of it (unpack.bytes_max), at %s",
                         self->bytes_max, self->name);
    return pack_says(self->message, STATUS_TOO_LARGE,
                     "more than %" PRIu32 " times its %" PRIu64
                     " bytes come out of it (unpack.ratio_max), at %s",
                     self->row->ratio_max, self->archive_bytes, self->name);
}

int unpacking_add(struct unpacking *self, const void *bytes, size_t size)
{
    if (size > self->bytes_max - self->stats.original_bytes)
        return too_many(self);
    self->stats.original_bytes += size;
    const int r = self->file >= 0 ? file_write(self->file, slice_make(bytes, size)) : 0;
    return r ? pack_says(self->message, r, "%s cannot be written: %s", self->name, strerror(-r))
             : 0;
}

int unpacking_end(struct unpacking *self, int64_t modified_s)
{
    const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = modified_s } };
    if (self->file < 0)
        return 0;
    (void)futimens(self->file, times); /* a time that this file system cannot keep is no loss */
    const int r = close(self->file) ? -errno : 0;
    self->file = -1;
    self->stats.files++;
    return r ? pack_says(self->message, r, "%s cannot be written: %s", self->name, strerror(-r))
             : 0;
}

int unpacking_moved(const struct unpacking *self, uint64_t done)
{
    if (self->row->stop && self->row->stop(self->row->arg))
        return -ECANCELED;
    if (self->row->moved)
        self->row->moved(self->row->arg, done, self->archive_bytes);
    return 0;
}

void unpacking_clear(struct unpacking *self)
{
    drop_parent(self);
    if (self->file >= 0)
        (void)close(self->file);
    if (self->folder >= 0)
        (void)close(self->folder);
    if (self->archive >= 0)
        (void)close(self->archive);
    self->file = self->folder = self->archive = -1;
}

int64_t unpacking_read(struct unpacking *self, uint64_t offset, void *ret_bytes, size_t size)
{
    size_t got = 0;
    while (got < size) {
        const ssize_t more =
            pread(self->archive, (char *)ret_bytes + got, size - got, (off_t)(offset + got));
        if (more < 0)
            return pack_says(self->message, -errno, "the archive cannot be read: %s",
                             strerror(errno));
        if (more == 0)
            break;
        got += (size_t)more;
    }
    return (int64_t)got;
}
