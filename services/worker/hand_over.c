#include "services/worker/hand_over.h"

#include "common/clock.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/storage/storage.h"
#include "proto/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { FOLDER_MODE = 0777 };

static int fault(struct fault *ret_fault, int code, const char *what, const char *path)
{
    ret_fault->code = code;
    ret_fault->field[0] = '\0';
    (void)snprintf(ret_fault->message, sizeof ret_fault->message, "%s: %.300s", what, path);
    return code;
}

/* Relative, and of proper names only. */
static bool stays_beneath(const char *path)
{
    for (const char *at = path;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || (size == 1 && at[0] == '.') || (size == 2 && memcmp(at, "..", 2) == 0))
            return false;
        at += size;
        if (!*at)
            return true;
    }
}

/* The folder's tmp is no place for results: it is cleaned. */
static bool is_place(const char *path)
{
    return stays_beneath(path) && strcmp(path, "tmp") != 0 && strncmp(path, "tmp/", 4) != 0;
}

/* Makes the folders above a path beneath folder, following no link. 0 or -errno. */
static int make_parents(const char *folder, char *path)
{
    scoped_fd int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    char *name = path;
    for (char *slash = strchr(name, '/'); slash; slash = strchr(name, '/')) {
        *slash = '\0';
        int made = mkdirat(at, name, FOLDER_MODE);
        int next = made == 0 || errno == EEXIST
                       ? openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                       : -1;
        int problem = errno;
        *slash = '/';
        if (next < 0)
            return -problem;
        (void)close(at);
        at = next;
        name = slash + 1;
    }
    return 0;
}

static bool read_pair(struct reader *files, char *ret_from, char *ret_to)
{
    struct slice pair, value, from, to;
    struct reader reader;
    uint32_t count = 0;
    if (!reader_value(files, &pair) || !codec_array(pair, &reader, &count) || count != 2)
        return false;
    if (!reader_value(&reader, &value) || !codec_str(value, &from))
        return false;
    return reader_value(&reader, &value) && codec_str(value, &to) &&
           slice_copy(from, ret_from, PATH_MAX) && slice_copy(to, ret_to, PATH_MAX);
}

/* Where the thing made really lies: a file or a folder in the attempt's folder, no link. */
static int find_made(const char *work, const char *from, char *ret_path)
{
    int r = paths_resolve_input(work, "", slice_of(from), false, ret_path);
    return r == STATUS_INVALID ? paths_resolve_input(work, "", slice_of(from), true, ret_path) : r;
}

static int move(const struct hand_over *row, const char *from, char *to, struct fault *ret_fault)
{
    char made[PATH_MAX];
    char place[PATH_MAX];
    if (!stays_beneath(from) || !is_place(to))
        return fault(ret_fault, STATUS_INVALID, "the engine may not hand this over", from);
    if (find_made(row->work, from, made) != 0)
        return fault(ret_fault, STATUS_NOT_FOUND, "the engine did not make what it named", from);
    if (snprintf(place, sizeof place, "%s/%s", row->folder, to) >= (int)sizeof place)
        return fault(ret_fault, STATUS_INVALID, "the path is too long", to);

    int r = make_parents(row->folder, to);
    if (r == 0 && clock_ms() >= row->until_ms)
        return fault(ret_fault, STATUS_STALE, "the lease has run out", to);
    if (r == 0)
        r = storage_hand_over(made, place);
    return r ? fault(ret_fault, r, strerror(-r), place) : 0;
}

int hand_over(const struct hand_over *row, struct fault *ret_fault)
{
    struct reader reader;
    uint32_t count = 0;
    if (row->files.size == 0)
        return 0;
    if (!codec_array(row->files, &reader, &count))
        return fault(ret_fault, STATUS_INVALID, "the engine's files", "are no list");
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        char from[PATH_MAX];
        char to[PATH_MAX];
        if (!read_pair(&reader, from, to))
            return fault(ret_fault, STATUS_INVALID, "the engine's files", "are no pairs of paths");
        r = move(row, from, to, ret_fault);
    }
    return r;
}
