#include "services/cli/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/paths.h"
#include "common/scoped.h"

enum { NAME = TASK_ID_MAX + 16, MODES = 07777 };

static const int64_t second_ns = 1000000000;

static void file_end(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}
#define scoped_file __attribute__((cleanup(file_end))) FILE *

static FILE *open_file(int folder, const char *name, int flags, const char *mode)
{
    int fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC, 0666);
    FILE *file = fd >= 0 ? fdopen(fd, mode) : NULL;
    if (!file && fd >= 0)
        (void)close(fd);
    return file;
}

static int64_t whole_of(const json_t *entry, const char *key)
{
    return json_integer_value(json_object_get(entry, key));
}

/* The path leads nowhere but beneath the folder. */
static int take_line(json_t *manifest, const char *line)
{
    json_t *entry = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *path = json_string_value(json_object_get(entry, "path"));
    if (!path || !*path) {
        json_decref(entry);
        return -EBADMSG;
    }
    char key[PATH_MAX];
    const bool fits = slice_copy(slice_of(path), key, sizeof key);
    if (!fits || json_object_set_new(manifest, key, entry))
        return fits ? -ENOMEM : -EBADMSG;
    return 0;
}

int manifest_read(int folder, const char *id, json_t **ret_manifest)
{
    char name[NAME];
    (void)snprintf(name, sizeof name, "%s.jsonl", id);
    json_t *manifest = json_object();
    if (!manifest)
        return -ENOMEM;
    scoped_file file = folder >= 0 ? open_file(folder, name, O_RDONLY, "r") : NULL;
    int r = file || folder < 0 || errno == ENOENT ? 0 : -errno;
    scoped_text char *line = NULL;
    size_t room = 0;
    while (r == 0 && file && getline(&line, &room, file) > 0)
        r = take_line(manifest, line);
    if (r == 0 && file && ferror(file))
        r = -EIO;
    if (r)
        json_decref(manifest);
    else
        *ret_manifest = manifest;
    return r;
}

static int write_lines(int folder, const char *name, const json_t *manifest)
{
    scoped_file file = open_file(folder, name, O_WRONLY | O_CREAT | O_TRUNC, "w");
    if (!file)
        return -errno;
    const char *path;
    json_t *entry;
    union {
        const json_t *in;
        json_t *out;
    } cast = { manifest }; /* jansson's macro wants it mutable and only reads */
    json_object_foreach (cast.out, path, entry)
        if (json_dumpf(entry, file, JSON_COMPACT) || fputc('\n', file) == EOF)
            return -EIO;
    return fflush(file) || fsync(fileno(file)) ? -errno : 0;
}

int manifest_write(int folder, const char *id, const json_t *manifest)
{
    char name[NAME], fresh[NAME];
    (void)snprintf(name, sizeof name, "%s.jsonl", id);
    (void)snprintf(fresh, sizeof fresh, "%s.part", id);
    if (json_object_size(manifest) == 0)
        return unlinkat(folder, name, 0) && errno != ENOENT ? -errno : 0;
    int r = write_lines(folder, fresh, manifest);
    if (r == 0 && renameat(folder, fresh, folder, name))
        r = -errno;
    return r == 0 && fsync(folder) ? -errno : r;
}

static int add(json_t *manifest, const char *path, const struct stat *info, json_t *entry)
{
    if (!entry) /* jansson takes UTF-8 alone */
        return -EILSEQ;
    const int64_t mtime_ns = (int64_t)info->st_mtim.tv_sec * second_ns + info->st_mtim.tv_nsec;
    json_object_set_new(entry, "mode", json_integer(info->st_mode & MODES));
    json_object_set_new(entry, "mtime_ns", json_integer(mtime_ns));
    return json_object_set_new(manifest, path, entry) ? -ENOMEM : 0;
}

int manifest_add_file(json_t *manifest, const char *path, const struct stat *info,
                      const char *sha256)
{
    return add(
        manifest, path, info,
        json_pack("{sssssI}", "path", path, "sha256", sha256, "bytes", (json_int_t)info->st_size));
}

int manifest_add_folder(json_t *manifest, const char *path, const struct stat *info, bool made)
{
    return add(manifest, path, info, json_pack("{sssb}", "path", path, "made", (int)made));
}

const char *manifest_sha256(const json_t *entry)
{
    return json_string_value(json_object_get(entry, "sha256"));
}

bool manifest_made(const json_t *entry)
{
    return json_is_true(json_object_get(entry, "made"));
}

int64_t manifest_bytes(const json_t *entry)
{
    return whole_of(entry, "bytes");
}

int manifest_restore(const json_t *entry, int folder)
{
    const int64_t ns = whole_of(entry, "mtime_ns");
    const struct timespec times[] = { { .tv_nsec = UTIME_OMIT },
                                      { .tv_sec = ns / second_ns, .tv_nsec = ns % second_ns } };
    if (fchmod(folder, (mode_t)whole_of(entry, "mode") & MODES))
        return -errno;
    return futimens(folder, times) ? -errno : 0;
}
