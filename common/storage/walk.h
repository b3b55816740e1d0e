#pragma once
/* A walk over all beneath an open folder, through no link and into no other file system, in memory
 * that does not grow with what is there. */
#include <errno.h>
#include <fts.h>
#include <stdbool.h>

/* name: an entry of the folder, or "." for all of it. NULL and errno. */
FTS *walk_open(int folder, const char *name);
/* The next entry of the walk's own file system, folders before what is in them; *ret_entry NULL at
 * the end. What vanishes meanwhile is passed over, but for the start itself. 0 or -errno. */
int walk_next(FTS *walk, FTSENT **ret_entry);

static inline void walk_end(FTS **walk)
{
    if (*walk)
        (void)fts_close(*walk);
}
#define scoped_walk __attribute__((cleanup(walk_end))) FTS *
