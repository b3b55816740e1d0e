#include "common/storage/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"

/* What is not there yet is named in what is: free of links as far as it exists. */
static int canonical(const char *path, char ret_path[PATH_MAX])
{
    char head[PATH_MAX];
    if (!slice_copy(slice_of(path), head, sizeof head))
        return -ENAMETOOLONG;
    size_t size = strlen(head);
    scoped_text char *found = realpath(head, NULL);
    while (!found && size > 0) {
        size = paths_above(head, size);
        head[size] = '\0';
        found = realpath(size > 0 ? head : ".", NULL);
    }
    if (!found)
        return -errno;
    const int length =
        snprintf(ret_path, PATH_MAX, "%s%s%s", found, path[size] ? "/" : "", path + size);
    return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool lies_in(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    while (size > 0 && folder[size - 1] == '/')
        size--;
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

int storage_apart(const char *first, const char *second)
{
    char one[PATH_MAX] = "", other[PATH_MAX] = "";
    int r = canonical(first, one);
    if (r == 0)
        r = canonical(second, other);
    if (r)
        return r;
    return lies_in(one, other) || lies_in(other, one) ? STATUS_CONFLICT : 0;
}
