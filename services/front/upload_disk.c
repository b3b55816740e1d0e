#include "services/front/upload_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/storage/storage.h"

#define STATE "upload.json"
#define STATE_NEW "upload.json" /* in TMP */
#define TMP "tmp"
#define DATA "upload.data" /* in TMP */
enum { STATE_MAX = 16384, OPEN_NAME = sizeof "/proc/self/fd/-2147483648/" + NAME_MAX };

static int hand_on(int *file)
{
    const int given = *file;
    *file = -1;
    return given;
}

/* Others write to the disk too: neither a link nor what is no file is opened, nor waited for. A
 * descriptor or -errno. */
static int open_file(int folder, const char *name, int flags)
{
    struct stat info;
    scoped_fd int file = paths_open_beneath(folder, name, flags | O_NONBLOCK);
    if (file < 0)
        return file;
    if (fstat(file, &info))
        return -errno;
    if (!S_ISREG(info.st_mode))
        return -EBADMSG;
    return hand_on(&file);
}

const char *upload_disk_name(const struct upload_about *about)
{
    const char *slash = strrchr(about->file_path, '/');
    const char *name = slash ? slash + 1 : about->file_path;
    const bool fit = *name && *name != '.' && strlen(name) < 200 && strcmp(name, "tmp") != 0 &&
                     strcmp(name, STATE) != 0;
    return fit ? name : "file";
}

/* ---- its state ------------------------------------------------------------------------------- */

/* Readers see the old or the new. */
static int put_state(int folder, const char *text)
{
    scoped_fd int tmp = paths_open_beneath(folder, TMP, O_PATH | O_DIRECTORY);
    if (tmp < 0)
        return tmp;
    scoped_fd int file = open_file(tmp, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC);
    if (file < 0)
        return file;
    int r = file_write(file, slice_of(text));
    if (r == 0 && fdatasync(file))
        r = -errno;
    if (r == 0 && renameat(tmp, STATE_NEW, folder, STATE))
        r = -errno;
    return r;
}

static int write_state(int folder, const struct upload_about *about)
{
    json_auto_t *state = json_pack("{s:s, s:s, s:s, s:I, s:b, s:b}", "file_path", about->file_path,
                                   "bucket", about->bucket, "content_type", about->content_type,
                                   "size", (json_int_t)about->size, "resumable",
                                   (int)about->resumable, "submitted", (int)about->submitted);
    scoped_text char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
    return text ? put_state(folder, text) : -ENOMEM;
}

static bool copy(const char *from, char *to, size_t size)
{
    return from && slice_copy(slice_of(from), to, size);
}

static int parse_state(const char *text, size_t size, struct upload_about *about)
{
    const char *path = NULL, *bucket = NULL, *type = NULL;
    json_int_t bytes = 0;
    int resumable = 0, submitted = 0;
    json_auto_t *state = json_loadb(text, size, 0, NULL);
    if (!state ||
        json_unpack(state, "{s:s, s:s, s:s, s:I, s:b, s:b}", "file_path", &path, "bucket", &bucket,
                    "content_type", &type, "size", &bytes, "resumable", &resumable, "submitted",
                    &submitted) ||
        bytes < 0 || (resumable && (bytes == 0 || !objects_key_valid(path))) ||
        !copy(path, about->file_path, sizeof about->file_path) ||
        !copy(bucket, about->bucket, sizeof about->bucket) ||
        !copy(type, about->content_type, sizeof about->content_type))
        return -EBADMSG;
    about->size = (uint64_t)bytes;
    about->resumable = resumable != 0;
    about->submitted = submitted != 0;
    return 0;
}

/* 0, STATUS_NOT_FOUND or -errno. */
static int read_state(int folder, struct upload_about *about)
{
    char text[STATE_MAX];
    scoped_fd int file = open_file(folder, STATE, O_RDONLY);
    if (file < 0)
        return file == -ENOENT ? STATUS_NOT_FOUND : file;
    const ssize_t size = read(file, text, sizeof text);
    return size < 0 ? -errno : parse_state(text, (size_t)size, about);
}

/* ---- its file -------------------------------------------------------------------------------- */

/* *ret_folder is the caller's to close. 0, STATUS_NOT_FOUND or -errno. */
static int enter(const char *root, const char *id, struct upload_about *about, int *ret_folder)
{
    int folder = -1;
    *about = (struct upload_about){ 0 };
    if (!copy(id, about->id, sizeof about->id))
        return STATUS_NOT_FOUND;
    int r = storage_open(root, slice_of(id), false, &folder);
    if (r)
        return r > 0 ? STATUS_NOT_FOUND : r;
    r = read_state(folder, about);
    if (r)
        (void)close(folder);
    else
        *ret_folder = folder;
    return r;
}

/* The file that has its bytes, wherever it is in its life. 0, STATUS_NOT_FOUND or -errno. */
static int find_file(int folder, int flags, struct upload_about *about, int *ret_file)
{
    struct stat info;
    int file = open_file(folder, TMP "/" DATA, flags);
    if (file == -ENOENT) {
        about->handed = true;
        file = open_file(folder, upload_disk_name(about), flags);
    }
    if (file < 0)
        return file == -ENOENT ? STATUS_NOT_FOUND : file;
    if (fstat(file, &info)) {
        const int r = -errno;
        (void)close(file);
        return r;
    }
    about->offset = (uint64_t)info.st_size;
    *ret_file = file;
    return 0;
}

int upload_disk_look(const char *root, const char *id, struct upload_about *ret_about)
{
    struct upload_about about;
    scoped_fd int folder = -1;
    scoped_fd int file = -1;
    int r = enter(root, id, &about, &folder);
    if (r)
        return r;
    r = about.submitted ? STATUS_NOT_FOUND : find_file(folder, O_RDONLY, &about, &file);
    if (r == STATUS_NOT_FOUND) { /* only its task takes the file away, before it is marked even */
        about.submitted = true;
        about.offset = about.size;
        r = 0;
    }
    if (r == 0)
        *ret_about = about;
    return r;
}

int upload_disk_open(const char *root, const char *id, struct upload_about *ret_about,
                     int *ret_file)
{
    struct upload_about about;
    scoped_fd int folder = -1;
    scoped_fd int file = -1;
    int r = enter(root, id, &about, &folder);
    if (r == 0)
        r = about.submitted ? STATUS_NOT_FOUND : find_file(folder, O_WRONLY, &about, &file);
    if (r == 0 && flock(file, LOCK_EX | LOCK_NB))
        r = errno == EWOULDBLOCK ? STATUS_BUSY : -errno;
    if (r)
        return r;
    struct upload_about now; /* who had the lock may have ended it after we looked */
    r = upload_disk_look(root, id, &now);
    if (r == 0 && (now.submitted || now.handed != about.handed))
        r = STATUS_BUSY;
    if (r)
        return r;
    *ret_about = now;
    *ret_file = hand_on(&file);
    return 0;
}

static int make(const char *root, const struct upload_about *about, int *ret_file)
{
    scoped_fd int folder = -1;
    int r = storage_open(root, slice_of(about->id), true, &folder);
    if (r)
        return r > 0 ? -EACCES : r;
    scoped_fd int file = open_file(folder, TMP "/" DATA, O_WRONLY | O_CREAT | O_EXCL);
    if (file < 0)
        return file;
    if (flock(file, LOCK_EX | LOCK_NB))
        return -errno;
    r = write_state(folder, about);
    if (r)
        return r;
    *ret_file = hand_on(&file);
    return 0;
}

int upload_disk_make(const char *root, const struct upload_about *about, int *ret_file)
{
    int r = make(root, about, ret_file);
    if (r && r != -EEXIST) /* that would be another's */
        (void)upload_disk_remove(root, about->id);
    return r;
}

static int hand_over(int folder, const struct upload_about *about)
{
    char from[OPEN_NAME], to[OPEN_NAME];
    scoped_fd int tmp = paths_open_beneath(folder, TMP, O_PATH | O_DIRECTORY);
    if (tmp < 0)
        return tmp;
    (void)snprintf(from, sizeof from, "/proc/self/fd/%d/" DATA, tmp);
    (void)snprintf(to, sizeof to, "/proc/self/fd/%d/%s", folder, upload_disk_name(about));
    return storage_hand_over(from, to);
}

/* A rename outlives the machine's fall only so: who sent the bytes is told that we have them. */
static int sync_names(int folder)
{
    scoped_fd int file = paths_open_beneath(folder, ".", O_RDONLY | O_DIRECTORY);
    if (file < 0)
        return file;
    return fsync(file) ? -errno : 0;
}

int upload_disk_finish(const char *root, const struct upload_about *about, int file)
{
    scoped_fd int folder = -1;
    if (fsync(file))
        return -errno;
    int r = storage_open(root, slice_of(about->id), false, &folder);
    if (r)
        return r > 0 ? -ENOENT : r;
    r = write_state(folder, about);
    if (r == 0 && !about->handed)
        r = hand_over(folder, about);
    return r ? r : sync_names(folder);
}

int upload_disk_submitted(const char *root, const struct upload_about *about)
{
    struct upload_about submitted = *about;
    scoped_fd int folder = -1;
    int r = storage_open(root, slice_of(about->id), false, &folder);
    submitted.submitted = true;
    return r == 0 ? write_state(folder, &submitted) : r > 0 ? -ENOENT : r;
}

int upload_disk_remove(const char *root, const char *id)
{
    struct storage_removal removal;
    storage_remove(root, slice_of(id), &removal);
    return removal.fate == STORAGE_FAILED ? -EIO : 0;
}

/* ---- what nobody comes back for -------------------------------------------------------------- */

/* True: it was removed. */
static bool sweep_one(const char *root, const char *id, int64_t age_ms)
{
    struct upload_about about;
    struct stat info;
    scoped_fd int file = -1;
    if (!task_id_valid(slice_of(id)) || upload_disk_open(root, id, &about, &file) ||
        fstat(file, &info))
        return false;
    const int64_t written_ms = (int64_t)info.st_mtim.tv_sec * 1000;
    return clock_wall_ms() - written_ms > age_ms && upload_disk_remove(root, id) == 0;
}

int upload_disk_sweep(const char *root, int64_t age_ms, uint64_t *ret_count)
{
    uint64_t count = 0;
    DIR *folder = opendir(root);
    if (!folder)
        return errno == ENOENT ? 0 : -errno;
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        count += sweep_one(root, entry->d_name, age_ms);
    (void)closedir(folder);
    *ret_count = count;
    return 0;
}
