#pragma once
/* Which failures of this machine may be over when the work is tried again, here or elsewhere. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* problem: -errno; of the disk or the process as a whole, not of one file. */
static inline bool is_trouble(int problem)
{
    static const int troubles[] = { ENOSPC, EDQUOT, EROFS,  EIO,    EACCES,  EPERM,
                                    EMFILE, ENFILE, ENOMEM, ESTALE, ENOTCONN };
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++)
        if (problem == -troubles[i])
            return true;
    return false;
}
