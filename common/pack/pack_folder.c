#include "common/pack/packing.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"

/* ---- a member -------------------------------------------------------------------------------- */

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
        r = got ? packing_add(self, (size_t)got) : 0;
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
    int r = packing_begin(self, name, &before);
    if (r == 0)
        r = copy(self, file, name, (uint64_t)before.st_size);
    if (r)
        return r;
    if (fstat(file, &after))
        return -errno;
    if (!is_same(&before, &after))
        return pack_says(self->message, STATUS_CONFLICT, "%s changed while it was read", name);
    r = packing_end(self);
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
    return S_ISDIR(info->st_mode) ? packing_begin(self, name, info) : add_file(self, name);
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
    r = packing_start(self);
    if (r == 0)
        r = walk(self, add);
    return r ? r : packing_finish(self);
}

int pack_folder(const struct pack_row *row, struct pack_stats *ret_stats,
                char ret_message[PACK_MESSAGE])
{
    const int64_t begun = clock_ns();
    struct packing self = { .row = row, .folder = -1, .message = ret_message };
    ret_message[0] = '\0';
    int r = run(&self);
    packing_clear(&self);
    if (r)
        return pack_says_result(ret_message, r);
    self.stats.seconds = (double)(clock_ns() - begun) / 1e9;
    *ret_stats = self.stats;
    return 0;
}
