#include "services/state/video.h"

#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"
#include "common/storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define VIDEOS "videos"
#define ORIGINAL "original.mp4"
#define FIELD "temp_file_path"

enum {
    FOLDER_MODE = 0777,
    OPEN_NAME = sizeof "/proc/self/fd/-2147483648/" + NAME_MAX,
    RETRY_UNDER_WAY_MS = 200,
    RETRY_FULL_MS = 10000
};

void video_id(const unsigned char token[16], char ret_id[VIDEO_ID_TEXT])
{
    unsigned char b[16];
    memcpy(b, token, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    (void)snprintf(ret_id, VIDEO_ID_TEXT,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
}

/* What the machine said, as somebody who asked is told. */
static int trouble(struct refusal *why, int problem, const char *what)
{
    switch (problem) {
    case -ENOENT:
    case -ENOTDIR:
        return refusal_say(why, STATUS_NOT_FOUND, FIELD, "there is no such file");
    case -EACCES:
    case -EPERM:
    case -ELOOP:
        return refusal_say(why, STATUS_DENIED, FIELD, "%s: %s", what, strerror(-problem));
    case -ENOSPC:
    case -EDQUOT:
        why->retry_after_ms = RETRY_FULL_MS;
        return refusal_say(why, STATUS_UNAVAILABLE, NULL, "%s: %s; nothing was changed", what,
                           strerror(-problem));
    default:
        return refusal_say(why, STATUS_INTERNAL, NULL, "%s: %s", what, strerror(-problem));
    }
}

static int under_way(struct refusal *why)
{
    why->scope = "task";
    why->retry_after_ms = RETRY_UNDER_WAY_MS;
    return refusal_say(why, STATUS_BUSY, NULL, "the same call is under way");
}

/* ---- the file that was named ------------------------------------------------------------------
 */

/* What created tasks have is nobody's temporary file. Both paths are free of links. */
static bool is_taken(const struct video *self)
{
    char videos[PATH_MAX + sizeof VIDEOS];
    scoped_text char *local = realpath(self->local, NULL);
    if (!local)
        return false;
    const int size = snprintf(videos, sizeof videos, "%s/" VIDEOS "/", local);
    return strncmp(self->from, videos, (size_t)size) == 0;
}

static const char *name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* From here on the file is named in a folder that is open: whoever swaps a folder above it for a
 * link moves nothing of what the link leads to. */
static int open_above(struct video *self)
{
    char folder[PATH_MAX] = ".";
    const size_t size = (size_t)(name_of(self->from) - self->from);
    scoped_fd int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return -errno;
    if (size > 1)
        (void)slice_copy(slice_make(self->from + 1, size - 1), folder, sizeof folder);
    self->above = paths_open_beneath(top, folder, O_PATH | O_DIRECTORY);
    return self->above < 0 ? self->above : 0;
}

static void name_open(const struct video *self, char ret_path[OPEN_NAME])
{
    (void)snprintf(ret_path, OPEN_NAME, "/proc/self/fd/%d/%s", self->above, name_of(self->from));
}

static int look_at_size(struct video *self, struct refusal *why)
{
    struct stat info;
    int r = open_above(self);
    if (r == 0 && fstatat(self->above, name_of(self->from), &info, AT_SYMLINK_NOFOLLOW))
        r = -errno;
    if (r)
        return trouble(why, r, "it cannot be looked at");
    if (info.st_size == 0)
        return refusal_say(why, STATUS_INVALID, FIELD, "is empty: 0 bytes");
    return 0;
}

static int find(struct video *self, struct refusal *why)
{
    const int r = paths_resolve_input(self->local, self->roots, self->given, false, self->from);
    if (r == 0 && is_taken(self))
        return refusal_say(why, STATUS_DENIED, FIELD, "is a created task's already");
    if (r == 0)
        return look_at_size(self, why);
    self->from[0] = '\0';
    if (r == STATUS_NOT_FOUND)
        return refusal_say(why, r, FIELD, "there is no such file");
    if (r == STATUS_DENIED)
        return refusal_say(why, r, FIELD,
                           "is outside storage.local and storage.input_roots, or behind a link");
    if (r == STATUS_INVALID)
        return refusal_say(why, r, FIELD, "must be a regular file");
    return trouble(why, r, "it cannot be looked at");
}

/* ---- its folder -------------------------------------------------------------------------------
 */

/* mkdir -p: the operator's own path, so links in it are his. */
static int make_local(const char *path)
{
    char part[PATH_MAX];
    if (!slice_copy(slice_of(path), part, sizeof part))
        return -ENAMETOOLONG;
    for (char *at = part; *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        const char was = *at;
        *at = '\0';
        if (mkdir(part, FOLDER_MODE) && errno != EEXIST)
            return -errno;
        *at = was;
    }
    return 0;
}

static int open_folder(int above, const char *name, bool make, int *ret_folder)
{
    if (make && mkdirat(above, name, FOLDER_MODE) && errno != EEXIST)
        return -errno;
    const int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_folder = fd;
    return 0;
}

/* {local}/videos; place gets the path of the video. */
static int open_videos(struct video *self, bool make, int *ret_videos)
{
    int r = make ? make_local(self->local) : 0;
    scoped_text char *local = r ? NULL : realpath(self->local, NULL);
    if (!local)
        return r ? r : -errno;
    if (snprintf(self->place, sizeof self->place, "%s/" VIDEOS "/%s/" ORIGINAL, local, self->id) >=
        PATH_MAX)
        return -ENAMETOOLONG;
    scoped_fd int above = open(local, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return above < 0 ? -errno : open_folder(above, VIDEOS, make, ret_videos);
}

/* Whoever has the lock is alone with this id, on all machines that mount the disk; it ends with the
 * process. */
static int open_own(struct video *self, bool make, struct refusal *why)
{
    scoped_fd int videos = -1;
    struct stat info;
    int r = open_videos(self, make, &videos);
    if (r == 0)
        r = open_folder(videos, self->id, make, &self->folder);
    if (r)
        return trouble(why, r, "the folder of created tasks");
    if (flock(self->folder, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return under_way(why);
    if (fstat(self->folder, &info) || info.st_nlink == 0)
        return under_way(why); /* somebody has just undone it */
    return 0;
}

static void drop_own(struct video *self)
{
    scoped_fd int videos = -1;
    if (self->folder >= 0 && open_videos(self, false, &videos) == 0)
        (void)unlinkat(videos, self->id, AT_REMOVEDIR); /* unless there is something in it */
    video_close(self);
}

static bool in_place(const struct video *self)
{
    struct stat info;
    return fstatat(self->folder, ORIGINAL, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(info.st_mode);
}

/* ---- both -------------------------------------------------------------------------------------
 */

/* A link or a folder that was put in the file's place while we took it. */
static int put_back(struct video *self, const char *from, struct refusal *why)
{
    (void)storage_rename_new(self->place, from);
    drop_own(self);
    return refusal_say(why, STATUS_DENIED, FIELD, "is no file any more: it was replaced meanwhile");
}

static int move(struct video *self, struct refusal *why)
{
    char from[OPEN_NAME];
    if (in_place(self))
        return 0;
    name_open(self, from);
    const int r = storage_hand_over_new(from, self->place);
    if (r == 0 && !in_place(self))
        return put_back(self, from, why);
    if (r == 0) {
        self->moved = true;
        return 0;
    }
    drop_own(self);
    return trouble(why, r, "it cannot be moved to its place");
}

/* It is where it was named no more: has an earlier call moved it? */
static int find_moved(struct video *self, struct refusal *why)
{
    struct refusal other = { 0 };
    const int r = open_own(self, false, &other);
    if (r == 0 && in_place(self))
        return 0;
    if (r == STATUS_BUSY)
        *why = other;
    video_close(self);
    return why->status;
}

int video_take(struct video *self, struct refusal *why)
{
    int r = find(self, why);
    if (r == STATUS_NOT_FOUND && self->again)
        return find_moved(self, why);
    if (r == 0)
        r = open_own(self, true, why);
    if (r) {
        video_close(self);
        return r;
    }
    return move(self, why);
}

int video_give_back(struct video *self)
{
    int r = 0;
    if (self->moved) {
        char from[OPEN_NAME];
        name_open(self, from);
        r = storage_hand_over_new(self->place, from);
    }
    self->moved = self->moved && r;
    if (r)
        video_close(self);
    else
        drop_own(self);
    return r;
}

void video_close(struct video *self)
{
    if (self->folder >= 0)
        (void)close(self->folder);
    if (self->above >= 0)
        (void)close(self->above);
    self->folder = self->above = -1;
}
