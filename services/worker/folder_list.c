#include "services/worker/folder_list.h"

#include "common/slice.h"
#include "common/status.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LIST_FIRST = 64, NAMES_FIRST = 4096 };

void folder_list_clear(struct folder_list *self)
{
    free(self->names);
    free(self->items);
    *self = (struct folder_list){ 0 };
}

const char *folder_list_name(const struct folder_list *self, size_t index)
{
    return self->names + self->items[index].at;
}

static int by_name(const void *a, const void *b, void *names)
{
    return strcmp((const char *)names + ((const struct folder_file *)a)->at,
                  (const char *)names + ((const struct folder_file *)b)->at);
}

static bool make_room_for_name(struct folder_list *self, size_t size)
{
    size_t room = self->names_room ? self->names_room : NAMES_FIRST;
    while (room - self->names_size < size)
        room *= 2;
    char *more = room == self->names_room ? self->names : realloc(self->names, room);
    if (!more)
        return false;
    self->names = more;
    self->names_room = room;
    return true;
}

/* Room grows at the powers of two, which the count tells of. */
static bool make_room(struct folder_list *self)
{
    if (self->count && (self->count < LIST_FIRST || (self->count & (self->count - 1))))
        return true;
    size_t room = self->count < LIST_FIRST ? LIST_FIRST : self->count * 2;
    struct folder_file *more = reallocarray(self->items, room, sizeof *more);
    if (more)
        self->items = more;
    return more != NULL;
}

int folder_list_add(struct folder_list *self, const char *name, uint64_t bytes)
{
    size_t size = strlen(name) + 1;
    if (!make_room(self) || !make_room_for_name(self, size))
        return -ENOMEM;
    memcpy(self->names + self->names_size, name, size);
    self->items[self->count++] = (struct folder_file){ .at = self->names_size, .bytes = bytes };
    self->names_size += size;
    self->bytes += bytes;
    return 0;
}

static int take(struct folder_list *self, const FTSENT *entry, size_t top, char *ret_why,
                size_t size)
{
    const char *name = entry->fts_pathlen > top ? entry->fts_path + top + 1 : entry->fts_path;
    switch (entry->fts_info) {
    case FTS_F:
        return folder_list_add(self, name, (uint64_t)entry->fts_statp->st_size);
    case FTS_D:
    case FTS_DP:
        return 0;
    case FTS_DNR:
        (void)snprintf(ret_why, size, "the folder %.300s cannot be read: %s", name,
                       strerror(entry->fts_errno));
        return STATUS_DENIED;
    case FTS_ERR:
    case FTS_NS:
    case FTS_DC:
        return entry->fts_errno ? -entry->fts_errno : -EIO;
    default:
        (void)snprintf(ret_why, size, "%.300s is no regular file: nothing is left out in silence",
                       name);
        return STATUS_UNSUPPORTED;
    }
}

static int read_all(FTS *tree, size_t top, size_t files_max, struct folder_list *list, char *why,
                    size_t size)
{
    int r = 0;
    errno = 0;
    for (FTSENT *entry = fts_read(tree); r == 0 && entry; entry = r ? NULL : fts_read(tree)) {
        r = take(list, entry, top, why, size);
        if (r == 0 && list->count > files_max) {
            (void)snprintf(why, size, "the folder has more than %zu files", files_max);
            r = STATUS_TOO_LARGE;
        }
        errno = 0;
    }
    return r == 0 && errno ? -errno : r;
}

int folder_list_read(const char *folder, size_t files_max, struct folder_list *ret_list,
                     char *ret_why, size_t size)
{
    char top[PATH_MAX]; /* fts would have it changeable */
    if (!slice_copy(slice_of(folder), top, sizeof top))
        return -ENAMETOOLONG;
    char *const roots[] = { top, NULL };
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return -errno;
    int r = read_all(tree, strlen(folder), files_max, ret_list, ret_why, size);
    (void)fts_close(tree);
    if (r)
        return r;
    if (ret_list->count == 0) {
        (void)snprintf(ret_why, size, "there is no file in the folder %.300s", folder);
        return STATUS_INVALID;
    }
    qsort_r(ret_list->items, ret_list->count, sizeof *ret_list->items, by_name, ret_list->names);
    return 0;
}

struct folder_file *folder_list_find(struct folder_list *self, const char *name)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(folder_list_name(self, middle), name);
        if (order == 0)
            return &self->items[middle];
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}
