#include "common/storage/storage.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/storage/walk.h"

enum { BLOCK = 512 }; /* of st_blocks, on every file system */

/* Files of several names: all are of one file system, so the number says which. */
struct linked {
    ino_t number;
    uint64_t bytes;
};

struct links {
    struct linked *items;
    size_t count;
    size_t room;
};

static void links_clear(struct links *self)
{
    free(self->items);
}

static int links_add(struct links *self, struct linked item)
{
    if (self->count == self->room) {
        size_t room = self->room ? 2 * self->room : 64;
        struct linked *items = realloc(self->items, room * sizeof *items);
        if (!items)
            return -ENOMEM;
        self->items = items;
        self->room = room;
    }
    self->items[self->count++] = item;
    return 0;
}

static int by_number(const void *a_, const void *b_)
{
    const struct linked *a = a_, *b = b_;
    return (a->number > b->number) - (a->number < b->number);
}

static void count_links(const struct links *links, struct storage_usage *usage)
{
    if (links->count)
        qsort(links->items, links->count, sizeof *links->items, by_number);
    for (size_t i = 0; i < links->count; i++) {
        if (i && links->items[i].number == links->items[i - 1].number)
            continue;
        usage->bytes += links->items[i].bytes;
        usage->files++;
    }
}

static int count_entry(const FTSENT *entry, struct links *links, struct storage_usage *usage)
{
    const struct stat *info = entry->fts_statp;
    const uint64_t bytes = (uint64_t)info->st_blocks * BLOCK;
    const bool folder = S_ISDIR(info->st_mode);
    if (!folder && info->st_nlink > 1)
        return links_add(links, (struct linked){ info->st_ino, bytes });
    usage->bytes += bytes;
    usage->files += !folder;
    return 0;
}

static int count_all(int folder, const char *name, bool without_tmp,
                     struct storage_usage *ret_usage)
{
    __attribute__((cleanup(links_clear))) struct links links = { 0 };
    struct storage_usage usage = { 0 };
    scoped_walk walk = walk_open(folder, name);
    if (!walk)
        return -errno;
    FTSENT *entry = NULL;
    int r = walk_next(walk, &entry);
    while (r == 0 && entry) {
        if (without_tmp && entry->fts_level == 1 && strcmp(entry->fts_name, "tmp") == 0)
            (void)fts_set(walk, entry, FTS_SKIP);
        else
            r = count_entry(entry, &links, &usage);
        if (r == 0)
            r = walk_next(walk, &entry);
    }
    if (r)
        return r;
    count_links(&links, &usage);
    *ret_usage = usage;
    return 0;
}

int storage_usage(int folder, struct storage_usage *ret_usage)
{
    return count_all(folder, ".", false, ret_usage);
}

int storage_usage_kept(int folder, struct storage_usage *ret_usage)
{
    return count_all(folder, ".", true, ret_usage);
}

int storage_space(const char *path, struct storage_space *ret_space)
{
    struct statvfs info;
    if (statvfs(path, &info))
        return -errno;
    *ret_space = (struct storage_space){ .total = (uint64_t)info.f_blocks * info.f_frsize,
                                         .available = (uint64_t)info.f_bavail * info.f_frsize };
    return 0;
}
