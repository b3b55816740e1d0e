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

static int fault(struct fault *ret_fault, int code, const char *what, const char *path)
{
    ret_fault->code = code;
    ret_fault->field[0] = '\0';
    (void)snprintf(ret_fault->message, sizeof ret_fault->message, "%s: %.300s", what, path);
    return code;
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

/* One file or folder of the engine's: where it lies, and where it belongs. */
struct piece {
    char made[PATH_MAX];
    char to[PATH_MAX]; /* in the task's folder */
    char place[PATH_MAX];
};

static int read_piece(const struct hand_over *row, struct reader *files, struct piece *ret_piece,
                      struct fault *ret_fault)
{
    char from[PATH_MAX];
    if (!read_pair(files, from, ret_piece->to))
        return fault(ret_fault, STATUS_INVALID, "the engine's files", "are no pairs of paths");
    if (!paths_plain(from) || !storage_is_place(ret_piece->to))
        return fault(ret_fault, STATUS_INVALID, "the engine may not hand this over", from);
    if (find_made(row->work, from, ret_piece->made) != 0)
        return fault(ret_fault, STATUS_NOT_FOUND, "the engine did not make what it named", from);
    if (snprintf(ret_piece->place, PATH_MAX, "%s/%s", row->folder, ret_piece->to) >= PATH_MAX)
        return fault(ret_fault, STATUS_INVALID, "the path is too long", ret_piece->to);
    return 0;
}

static int move(const struct hand_over *row, const struct piece *piece, struct fault *ret_fault)
{
    int r = storage_make_parents(row->folder, piece->to);
    if (r == 0 && clock_ms() >= row->until_ms)
        return fault(ret_fault, STATUS_STALE, "the lease has run out", piece->to);
    if (r == 0)
        r = storage_hand_over(piece->made, piece->place);
    return r ? fault(ret_fault, r, strerror(-r), piece->place) : 0;
}

/* Of a file or a folder; 0 bytes when there is nothing. 0 or -errno. */
static int size_of(const char *path, uint64_t *ret_bytes)
{
    struct storage_usage usage = { 0 };
    struct stat info;
    if (lstat(path, &info))
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (!S_ISDIR(info.st_mode)) {
        *ret_bytes = (uint64_t)info.st_blocks * 512;
        return 0;
    }
    scoped_fd int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : storage_usage(fd, &usage);
    *ret_bytes = usage.bytes;
    return r;
}

/* What the folder keeps and what comes to it, less what that replaces. */
static int size_after(const struct hand_over *row, struct reader files, uint32_t count,
                      uint64_t *ret_bytes, struct fault *ret_fault)
{
    struct storage_usage kept = { 0 };
    uint64_t more = 0, less = 0;
    scoped_fd int folder = open(row->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = folder < 0 ? -errno : storage_usage_kept(folder, &kept);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        uint64_t made = 0, replaced = 0;
        struct piece piece;
        r = read_piece(row, &files, &piece, ret_fault);
        if (r)
            return r;
        r = size_of(piece.made, &made);
        if (r == 0)
            r = size_of(piece.place, &replaced);
        more += made;
        less += replaced;
    }
    if (r)
        return fault(ret_fault, r, strerror(-r), row->folder);
    more += kept.bytes;
    *ret_bytes = more > less ? more - less : 0;
    return 0;
}

static int check_size(const struct hand_over *row, struct reader files, uint32_t count,
                      struct fault *ret_fault)
{
    uint64_t bytes = 0;
    if (row->bytes_max == 0 || count == 0)
        return 0;
    int r = size_after(row, files, count, &bytes, ret_fault);
    if (r || bytes <= row->bytes_max)
        return r;
    ret_fault->code = STATUS_TOO_LARGE;
    ret_fault->field[0] = '\0';
    (void)snprintf(ret_fault->message, sizeof ret_fault->message,
                   "the task's folder would take %llu bytes, and quota.task_bytes allows %llu",
                   (unsigned long long)bytes, (unsigned long long)row->bytes_max);
    return STATUS_TOO_LARGE;
}

int hand_over(const struct hand_over *row, struct fault *ret_fault)
{
    struct reader reader;
    uint32_t count = 0;
    if (row->files.size == 0)
        return 0;
    if (!codec_array(row->files, &reader, &count))
        return fault(ret_fault, STATUS_INVALID, "the engine's files", "are no list");
    int r = check_size(row, reader, count, ret_fault);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        struct piece piece;
        r = read_piece(row, &reader, &piece, ret_fault);
        if (r == 0)
            r = move(row, &piece, ret_fault);
    }
    return r;
}
