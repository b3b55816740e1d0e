#include "services/cli/passage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/paths.h"
#include "common/scoped.h"
#include "common/storage/beneath.h"
#include "common/storage/storage.h"
#include "common/storage/walk.h"
#include "services/cli/carry.h"
#include "services/cli/manifest.h"

/* One task on its way. */
struct passage {
    struct migration *all;
    const char *id;
    int here, there; /* its folders, where it is and where it goes; -1: there is none */
    json_t *manifest;
};

/* ---- what is told ---------------------------------------------------------------------------- */

static void note(struct migration *self, const char *id, const char *path, const char *what,
                 const char *why)
{
    if (json_array_size(self->notes) >= MIGRATION_NOTES_MAX)
        return;
    json_t *item =
        json_pack("{s:s, s:s, s:s, s:s}", "task", id, "path", path, "what", what, "why", why);
    if (!item)
        item = json_pack("{s:s, s:s, s:s, s:s}", "task", "", "path", "", "what", what, "why",
                         "a name that is no UTF-8");
    (void)json_array_append_new(self->notes, item);
}

void passage_leave(struct migration *self, const char *id, const char *path, const char *why)
{
    self->counts.left++;
    note(self, id, path, "left alone", why);
}

static void conflict(const struct passage *self, const char *path, const char *why)
{
    self->all->counts.conflicts++;
    note(self->all, self->id, path, "conflict", why);
}

static void fail(const struct passage *self, const char *path, int problem)
{
    self->all->counts.failed++;
    note(self->all, self->id, path, "failed", strerror(-problem));
}

/* ---- the plan: what of a task is to go forth --------------------------------------------------
 */

/* Whether there is a folder where one belongs: 1 or 0; -ENOTDIR: something else is there. */
static int has_folder(int folder, const char *path)
{
    if (folder < 0)
        return 0;
    scoped_fd int fd = paths_open_beneath(folder, path, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        return 1;
    return fd == -ENOENT ? 0 : -ENOTDIR;
}

/* 0, or -ENOTDIR: nothing beneath can go. A folder that is written down already may be half empty
 * by now, and its time a new one. */
static int plan_folder(const struct passage *self, const char *path, const struct stat *info)
{
    int there = has_folder(self->there, path);
    if (there < 0) {
        conflict(self, path, "something that is no folder is there");
        return there;
    }
    if (json_object_get(self->manifest, path))
        return 0;
    int r = manifest_add_folder(self->manifest, path, info, there == 0);
    if (r)
        fail(self, path, r);
    return r;
}

static void plan_file(const struct passage *self, const char *path, const struct stat *info)
{
    char here[CARRY_SHA256] = "", there[CARRY_SHA256] = "";
    const json_t *known = json_object_get(self->manifest, path);
    int r = carry_digest(self->there, path, there);
    if (r == 0 && known)
        return; /* it may be a copy that was cut off: carry_file sees */
    int h = carry_digest(self->here, path, here);
    if (h)
        fail(self, path, h);
    else if (r == 0 && strcmp(here, there) == 0)
        self->all->counts.skipped++;
    else if (r != -ENOENT)
        conflict(self, path, "another file is there");
    else if ((r = manifest_add_file(self->manifest, path, info, here)))
        fail(self, path, r);
}

static void plan_entry(const struct passage *self, FTS *walk, FTSENT *entry, const char *path)
{
    const struct stat *info = entry->fts_statp;
    if (storage_is_part(entry->fts_name)) {
        passage_leave(self->all, self->id, path, "a copy that was cut off");
        (void)fts_set(walk, entry, FTS_SKIP);
    } else if (S_ISDIR(info->st_mode)) {
        if (plan_folder(self, path, info))
            (void)fts_set(walk, entry, FTS_SKIP);
    } else if (S_ISREG(info->st_mode)) {
        plan_file(self, path, info);
    } else {
        passage_leave(self->all, self->id, path,
                      S_ISLNK(info->st_mode) ? "a symbolic link" : "neither file nor folder");
    }
}

static int plan(const struct passage *self)
{
    if (self->here < 0)
        return 0;
    scoped_walk walk = walk_open(self->here, ".");
    if (!walk)
        return -errno;
    FTSENT *entry = NULL;
    int r = walk_next(walk, &entry);
    const size_t top = entry ? entry->fts_pathlen + 1u : 0; /* with the slash behind it */
    while (r == 0 && entry) {
        plan_entry(self, walk, entry, entry->fts_level ? entry->fts_path + top : ".");
        r = walk_next(walk, &entry);
    }
    return r;
}

/* ---- the way, forth or back --------------------------------------------------------------------
 */

static int make_folder(const struct passage *self, const char *path)
{
    char name[CARRY_NAME];
    scoped_fd int parent = -1;
    if (self->all->row->dry || strcmp(path, ".") == 0)
        return 0;
    int r = carry_name(self->there, path, name, &parent);
    if (r)
        return r;
    scoped_fd int made = beneath_make(parent, strrchr(name, '/') + 1);
    return made < 0 ? made : carry_sync(parent);
}

/* Whether it has arrived. */
static bool move_file(const struct passage *self, const char *path, const json_t *entry)
{
    enum carry_fate fate = CARRY_MOVED;
    struct migration_counts *counts = &self->all->counts;
    const struct carry row = { self->here, self->there, path, manifest_sha256(entry),
                               self->all->row->dry };
    int r = carry_file(&row, &fate);
    if (r) {
        fail(self, path, r);
    } else if (fate == CARRY_MOVED) {
        counts->moved++;
        counts->moved_bytes += manifest_bytes(entry);
    } else if (fate == CARRY_CONFLICT) {
        conflict(self, path, "it was changed since, or another file is there");
    } else if (self->all->row->back && fate == CARRY_MISSING) {
        passage_leave(self->all, self->id, path, "it is gone");
    }
    return r == 0 && fate != CARRY_CONFLICT;
}

/* Dressed where it is and removed where it was, unless something in it stays. Going back, what was
 * there before the task came stays as well. */
static void end_folder(const struct passage *self, const char *path, const json_t *entry)
{
    const bool back = self->all->row->back, made = manifest_made(entry);
    scoped_fd int there = paths_open_beneath(self->there, path, O_RDONLY | O_DIRECTORY);
    int r = there >= 0 && (made || back) ? manifest_restore(entry, there) : 0;
    if (r)
        fail(self, path, r);
    char name[CARRY_NAME];
    scoped_fd int parent = -1;
    if ((back && !made) || self->here < 0)
        return;
    if (strcmp(path, ".") == 0)
        (void)unlinkat(back ? self->all->to : self->all->from, self->id, AT_REMOVEDIR);
    else if (carry_name(self->here, path, name, &parent) == 0)
        (void)rmdir(name);
}

/* From within: the last are the deepest. */
static int end_folders(const struct passage *self)
{
    size_t count = 0;
    const char **paths = calloc(json_object_size(self->manifest) + 1, sizeof *paths);
    if (!paths)
        return -ENOMEM;
    for (void *at = json_object_iter(self->manifest); at;
         at = json_object_iter_next(self->manifest, at))
        paths[count++] = json_object_iter_key(at);
    for (size_t i = count; i-- > 0;) {
        const json_t *entry = json_object_get(self->manifest, paths[i]);
        if (!manifest_sha256(entry))
            end_folder(self, paths[i], entry);
    }
    free(paths);
    return 0;
}

/* rest gets what has not arrived, with all folders. */
static int move_all(const struct passage *self, json_t *rest)
{
    const char *path;
    json_t *entry;
    bool arrived = true;
    json_object_foreach (self->manifest, path, entry) {
        const bool folder = !manifest_sha256(entry);
        int r = folder ? make_folder(self, path) : 0;
        if (r)
            fail(self, path, r);
        const bool gone = !folder && move_file(self, path, entry);
        arrived = arrived && (folder || gone);
        if (!gone && json_object_set(rest, path, entry))
            return -ENOMEM;
    }
    if (arrived)
        json_object_clear(rest);
    return self->all->row->dry ? 0 : end_folders(self);
}

/* -1 when there is none. */
static int open_folder(int root, const char *id, int *ret_folder)
{
    int fd = paths_open_beneath(root, id, O_PATH | O_DIRECTORY);
    if (fd < 0 && fd != -ENOENT)
        return fd;
    *ret_folder = fd < 0 ? -1 : fd;
    return 0;
}

static bool is_no_folder(int problem)
{
    return problem == -ELOOP || problem == -ENOTDIR;
}

/* What is planned is written down before its folder is made: it says who made that. */
static int go(struct passage *self, int root, json_t *rest)
{
    const struct migration_row *row = self->all->row;
    int r = row->back ? 0 : plan(self);
    if (r == 0 && !row->back && !row->dry)
        r = manifest_write(self->all->manifests, self->id, self->manifest);
    if (r == 0 && self->there < 0 && !row->dry) {
        int made = beneath_make(root, self->id);
        r = made < 0 ? made : 0;
        self->there = made < 0 ? -1 : made;
    }
    if (r == 0 && !row->dry) /* also the names that a run made which was killed before this */
        r = carry_sync(root);
    if (r == 0)
        r = move_all(self, rest);
    if (r == 0 && row->back && !row->dry)
        r = manifest_write(self->all->manifests, self->id, rest);
    return r;
}

int passage_run(struct migration *self, const char *id)
{
    const int source = self->row->back ? self->to : self->from;
    const int target = self->row->back ? self->from : self->to;
    struct passage passage = { .all = self, .id = id, .here = -1, .there = -1 };
    json_t *rest = json_object();
    int r = rest ? open_folder(source, id, &passage.here) : -ENOMEM;
    if (is_no_folder(r)) {
        passage_leave(self, id, "", r == -ELOOP ? "a symbolic link" : "no folder");
        json_decref(rest);
        return 0;
    }
    self->counts.tasks++;
    if (r == 0)
        r = manifest_read(self->manifests, id, &passage.manifest);
    if (r == 0)
        r = open_folder(target, id, &passage.there);
    if (is_no_folder(r))
        conflict(&passage, "", "something that is no folder is there");
    else if (r == 0)
        r = go(&passage, target, rest);
    if (r && !is_no_folder(r))
        fail(&passage, "", r);
    json_decref(rest);
    json_decref(passage.manifest);
    scoped_fd_end(&passage.here);
    scoped_fd_end(&passage.there);
    return r == -ENOMEM || r == -ENOSPC ? r : 0;
}
