#include "services/cli/carry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/storage.h"
#include "common/storage/tree.h"

enum { CHUNK = 1 << 17 };

int carry_name(int folder, const char *path, char ret_name[CARRY_NAME], int *ret_fd)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const struct slice above = slash ? slice_make(path, (size_t)(slash - path)) : SLICE(".");
    if (folder < 0)
        return -ENOENT;
    if (!slice_copy(above, parent, sizeof parent))
        return -ENAMETOOLONG;
    int fd = paths_open_beneath(folder, parent, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOTDIR ? -ENOENT : fd;
    int size = snprintf(ret_name, CARRY_NAME, "/proc/self/fd/%d/%s", fd, slash ? slash + 1 : path);
    if (size >= CARRY_NAME) {
        (void)close(fd);
        return -ENAMETOOLONG;
    }
    *ret_fd = fd;
    return 0;
}

int carry_sync(int folder)
{
    scoped_fd int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) ? -errno : 0;
}

static void digest_end(EVP_MD_CTX **digest)
{
    EVP_MD_CTX_free(*digest);
}

static int add_all(int file, EVP_MD_CTX *digest)
{
    char bytes[CHUNK];
    ssize_t got = 1;
    while (got > 0) {
        got = read(file, bytes, sizeof bytes);
        if (got > 0 && EVP_DigestUpdate(digest, bytes, (size_t)got) != 1)
            return -EIO;
    }
    return got < 0 ? -errno : 0;
}

int carry_digest(int folder, const char *path, char ret_sha256[CARRY_SHA256])
{
    struct stat info;
    unsigned char sum[EVP_MAX_MD_SIZE];
    if (folder < 0)
        return -ENOENT;
    scoped_fd int file = paths_open_beneath(folder, path, O_RDONLY | O_NONBLOCK);
    if (file < 0)
        return file == -ENOTDIR ? -ENOENT : file;
    if (fstat(file, &info))
        return -errno;
    if (!S_ISREG(info.st_mode))
        return -EINVAL;
    __attribute__((cleanup(digest_end))) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    int r = add_all(file, digest);
    if (r == 0 && EVP_DigestFinal_ex(digest, sum, NULL) != 1)
        r = -EIO;
    for (size_t i = 0; r == 0 && i < CARRY_SHA256 / 2; i++)
        (void)snprintf(ret_sha256 + 2 * i, 3, "%02x", sum[i]);
    return r;
}

/* What lies at a place, or "" for nothing; something that is no file is a "-". */
static int look(int folder, const char *path, char sha256[CARRY_SHA256])
{
    int r = carry_digest(folder, path, sha256);
    if (r == -ENOENT)
        sha256[0] = '\0';
    const bool odd = r == -ELOOP || r == -EXDEV || r == -EINVAL;
    if (odd)
        memcpy(sha256, "-", 2);
    return r == -ENOENT || odd ? 0 : r;
}

/* Named after the file: who goes on after a kill makes it anew. */
static void part_beside(const char *name, const char *sha256, char part[CARRY_NAME])
{
    const char *slash = strrchr(name, '/');
    (void)snprintf(part, CARRY_NAME, "%.*s/" STORAGE_PART "%.8s", (int)(slash - name), name,
                   sha256);
}

/* The copy is read again before the file goes. */
static int copy_across(const struct carry *row, const char *from, const char *to, int to_folder)
{
    char part[CARRY_NAME];
    char sha256[CARRY_SHA256] = "";
    part_beside(to, row->sha256, part);
    int r = tree_remove(AT_FDCWD, part);
    if (r == 0)
        r = tree_copy(from, part);
    if (r == 0)
        r = carry_digest(to_folder, strrchr(part, '/') + 1, sha256);
    if (r == 0 && strcmp(sha256, row->sha256) != 0)
        r = -EIO;
    if (r == 0)
        r = storage_rename_new(part, to);
    if (r) {
        (void)tree_remove(AT_FDCWD, part);
        return r;
    }
    r = carry_sync(to_folder);
    return r == 0 && unlink(from) ? -errno : r;
}

static int move(const struct carry *row)
{
    char from[CARRY_NAME], to[CARRY_NAME], sha256[CARRY_SHA256] = "";
    scoped_fd int from_folder = -1;
    scoped_fd int to_folder = -1;
    int r = carry_name(row->from, row->path, from, &from_folder);
    if (r == 0)
        r = carry_name(row->to, row->path, to, &to_folder);
    if (r)
        return r;
    r = storage_rename_new(from, to);
    if (r == -EXDEV)
        return copy_across(row, from, to, to_folder);
    if (r == 0)
        r = carry_digest(row->to, row->path, sha256);
    return r == 0 && strcmp(sha256, row->sha256) != 0 ? -EIO : r;
}

/* What was written there, and its name, are on disk. */
static int sync_file(int folder, const char *path)
{
    char name[CARRY_NAME];
    scoped_fd int parent = -1;
    scoped_fd int file = paths_open_beneath(folder, path, O_RDONLY | O_NONBLOCK);
    if (file < 0 || fsync(file))
        return file < 0 ? file : -errno;
    int r = carry_name(folder, path, name, &parent);
    return r ? r : carry_sync(parent);
}

/* It is at both places: a copy that was killed before its end, perhaps before it was synced, or
 * another's of the same bytes. */
static int end_copy(const struct carry *row)
{
    char from[CARRY_NAME];
    scoped_fd int from_folder = -1;
    if (row->dry)
        return 0;
    int r = sync_file(row->to, row->path);
    if (r == 0)
        r = carry_name(row->from, row->path, from, &from_folder);
    return r == 0 && unlink(from) ? -errno : r;
}

int carry_file(const struct carry *row, enum carry_fate *ret_fate)
{
    char here[CARRY_SHA256] = "", there[CARRY_SHA256] = "";
    int r = look(row->from, row->path, here);
    if (r == 0)
        r = look(row->to, row->path, there);
    if (r)
        return r;
    const bool is_here = strcmp(here, row->sha256) == 0, is_there = strcmp(there, row->sha256) == 0;
    *ret_fate = CARRY_MOVED;
    if (!*here)
        *ret_fate = *there ? CARRY_BEFORE : CARRY_MISSING;
    else if (!is_here || (*there && !is_there))
        *ret_fate = CARRY_CONFLICT;
    else if (is_there)
        r = end_copy(row);
    else if (!row->dry)
        r = move(row);
    return r;
}
