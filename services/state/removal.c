#include "services/state/removal.h"

#include "common/objects/objects_settings.h"
#include "common/paths.h"
#include "common/scoped.h"
#include "common/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A caller waits: the store is not asked as patiently as by uploads. */
enum { OBJECTS_TRIES_MOST = 2, OBJECTS_TIMEOUT_MOST_MS = 5000 };

static void say(struct storage_removal *self, enum storage_fate fate, bool retriable,
                const char *what)
{
    self->fate = fate;
    self->retriable = retriable;
    (void)snprintf(self->message, sizeof self->message, "%s", what);
}

/* One word about both: what failed goes before what was removed. */
static void add(struct storage_removal *all, const struct storage_removal *one)
{
    if (one->fate == STORAGE_FAILED || all->fate == STORAGE_MISSING)
        *all = *one;
}

static void remove_folders(const struct settings *settings, struct slice id,
                           struct storage_removal *ret_all)
{
    char videos[PATH_MAX];
    struct storage_removal video;
    storage_remove(settings->storage_root, id, ret_all);
    if (snprintf(videos, sizeof videos, "%s/videos", settings->storage_local) >= PATH_MAX)
        return;
    storage_remove(videos, id, &video);
    if (video.fate != STORAGE_MISSING)
        add(ret_all, &video);
}

/* ---- objects ----------------------------------------------------------------------------------
 */

static int open_store(const struct settings *settings, objects_t **ret_objects, char why[256])
{
    struct settings hasty = *settings;
    if (hasty.objects_tries > OBJECTS_TRIES_MOST)
        hasty.objects_tries = OBJECTS_TRIES_MOST;
    if (hasty.objects_timeout_ms > OBJECTS_TIMEOUT_MOST_MS)
        hasty.objects_timeout_ms = OBJECTS_TIMEOUT_MOST_MS;
    return objects_of_settings(&hasty, ret_objects, why);
}

static void tell_objects(const objects_t *objects, int r, uint64_t count,
                         struct storage_removal *ret_removal)
{
    const char *words = objects_error_outside(objects);
    if (r == STATUS_NOT_FOUND || (r == 0 && count == 0))
        say(ret_removal, STORAGE_MISSING, false, "there are no objects");
    else if (r == 0)
        say(ret_removal, STORAGE_REMOVED, false, "");
    else
        say(ret_removal, STORAGE_FAILED, r != STATUS_DENIED && r != STATUS_INVALID,
            *words  ? words
            : r < 0 ? strerror(-r)
                    : status_text(r));
}

static void remove_objects(const struct settings *settings, struct slice id,
                           struct storage_removal *ret_removal)
{
    char prefix[TASK_ID_MAX + 2], why[256] = "";
    scoped(objects) objects = NULL;
    uint64_t count = 0;
    (void)snprintf(prefix, sizeof prefix, "%.*s/", SLICE_ARG(id));
    int r = open_store(settings, &objects, why);
    if (r) {
        say(ret_removal, STORAGE_FAILED, r < 0, *why ? why : r < 0 ? strerror(-r) : status_text(r));
        return;
    }
    r = objects_delete_prefix(objects, settings->objects_bucket, prefix, &count);
    tell_objects(objects, r, count, ret_removal);
}

/* ---- all ---------------------------------------------------------------------------------------
 */

/* The store may be away, or we may be killed while it works: then nothing else would tell of the
 * objects, since record and folder are gone. So an empty folder stands in the folder's place
 * meanwhile, which clean-up finds as one without a record, and forgets again. A new task of this id
 * takes it for its own: what is not empty is not taken away. */
static void leave_note(const char *root, const char *name)
{
    scoped_fd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)mkdirat(fd, name, 0777);
}

static void take_note_away(const char *root, const char *name)
{
    scoped_fd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)unlinkat(fd, name, AT_REMOVEDIR);
}

void removal_run(const struct settings *settings, struct slice id, bool known, bool forced,
                 struct removal *ret_removal)
{
    char name[TASK_ID_MAX + 1];
    remove_folders(settings, id, &ret_removal->folders);
    say(&ret_removal->objects, STORAGE_MISSING, false, "no object store is configured");
    if (!*settings->objects_endpoint || !task_id_valid(id) || !slice_copy(id, name, sizeof name))
        return;
    const bool note = known || ret_removal->folders.fate == STORAGE_REMOVED;
    if (note)
        leave_note(settings->storage_root, name);
    remove_objects(settings, id, &ret_removal->objects);
    if (note && !forced && ret_removal->objects.fate != STORAGE_FAILED)
        take_note_away(settings->storage_root, name);
}

bool removal_missing(const struct removal *self)
{
    return self->folders.fate == STORAGE_MISSING && self->objects.fate == STORAGE_MISSING;
}
