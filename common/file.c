#include "common/file.h"

#include <errno.h>
#include <unistd.h>

int file_write(int file, struct slice bytes)
{
    const char *at = bytes.data;
    size_t left = bytes.size;
    while (left > 0) {
        const ssize_t written = write(file, at, left);
        if (written < 0 && errno != EINTR)
            return -errno;
        at += written > 0 ? written : 0;
        left -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}
