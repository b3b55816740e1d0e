#include "common/storage/walk.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

FTS *walk_open(int folder, const char *name)
{
    char top[64 + NAME_MAX];
    int size = snprintf(top, sizeof top, "/proc/self/fd/%d/%s", folder, name);
    if (size >= (int)sizeof top) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    char *const tops[] = { top, NULL };
    return fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
}

static bool has_trouble(const FTSENT *entry)
{
    const int info = entry->fts_info;
    if (info != FTS_DNR && info != FTS_ERR && info != FTS_NS)
        return false;
    return entry->fts_level == 0 || entry->fts_errno != ENOENT;
}

static bool is_there(const FTS *walk, const FTSENT *entry)
{
    const int info = entry->fts_info;
    if (info == FTS_DP || info == FTS_DNR || info == FTS_NS)
        return false;
    return info != FTS_D || entry->fts_statp->st_dev == walk->fts_dev;
}

int walk_next(FTS *walk, FTSENT **ret_entry)
{
    for (;;) {
        errno = 0;
        FTSENT *entry = fts_read(walk);
        if (!entry && errno && errno != ENOENT)
            return -errno;
        if (entry && has_trouble(entry))
            return -entry->fts_errno;
        if (entry && !is_there(walk, entry))
            continue;
        *ret_entry = entry;
        return 0;
    }
}
