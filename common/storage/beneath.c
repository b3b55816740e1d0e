#include "common/storage/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/paths.h"

int beneath_make(int folder, const char *name)
{
    if (mkdirat(folder, name, BENEATH_FOLDER_MODE) && errno != EEXIST)
        return -errno;
    return paths_open_beneath(folder, name, O_PATH | O_DIRECTORY);
}

int beneath_uuid8(char ret_text[BENEATH_UUID8])
{
    uint32_t bits = 0;
    ssize_t got = getrandom(&bits, sizeof bits, 0);
    if (got != (ssize_t)sizeof bits) /* so few bytes come at once or not at all */
        return got < 0 ? -errno : -EIO;
    (void)snprintf(ret_text, BENEATH_UUID8, "%08x", bits);
    return 0;
}
